/** Turns the ops of a traced run into spans: where in the run, near which parameter, how many operations. Pure. */
import type { OpOutput, OpRun } from "./run-metadata.ts";
import type { Span } from "./span.ts";

/** A traced run as the engine's thread saw it, in milliseconds of the worker's clock. */
export interface TracedRun {
  readonly startMs: number;
  readonly endMs: number;
  readonly ops: readonly OpRun[];
}

const nanosPerMs = 1e6;

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** What an op takes from: a node's output by reference (`node` or `node:1`); null where it was not run. */
type ShapeOf = (reference: string) => readonly number[] | null;

/** Where a convolution's result (or its gradient) and its filter (or its gradient) are: an input's number, or what the op gives. */
const convolutions: readonly (readonly [RegExp, number | "own", number | "own"])[] = [
  [/^Ringmaster(Filter|Winograd)Gradient$/u, 1, "own"],
  // Counted as what the result needs; the kernel takes fewer multiplications.
  [/^RingmasterConvolution$/u, "own", 1],
  [/Conv2DBackpropFilter/u, 2, "own"],
  [/Conv2DBackpropInput/u, 2, 1],
  [/Conv2D/u, "own", 1],
];

/** Each element of the result, [rows, height, width, channels], is made of the filter's ÷ channels; gradients cost the same. */
function convolutionFlops({ op, inputs }: OpRun, own: readonly number[], shapeOf: ShapeOf): number {
  const [, resultAt, filterAt] = convolutions.find(([pattern]) => pattern.test(op)) ?? [];
  const shapeAt = (place: number | "own" | undefined): readonly number[] =>
    place === "own" ? own : (shapeOf(inputs[place ?? -1] ?? "") ?? [0]);
  const result = shapeAt(resultAt);
  const channels = result.at(-1) ?? 0;
  return channels === 0 ? 0 : (2 * elements(result) * elements(shapeAt(filterAt))) / channels;
}

/**
 * Operations of the matrix products (and convolutions) in an op, 0 for those without. A product gives an element for 2·k operations, and k
 * follows from an operand's elements, whichever way it is stored: [m × k] has m·k of them.
 */
function productFlops(run: OpRun, shapeOf: ShapeOf): number {
  const { op, inputs, outputs } = run;
  const shape = outputs.find(({ output }) => output === 0)?.shape ?? [];
  if (convolutions.some(([pattern]) => pattern.test(op))) {
    return convolutionFlops(run, shape, shapeOf);
  }
  if (/MatMul|^Ringmaster(?:Narrow)?Product$/u.test(op) && shape.length >= 2) {
    const [m = 0, n = 0] = shape.slice(-2);
    const batch = elements(shape.slice(0, -2));
    for (const [input, side] of [m, n].entries()) {
      const operand = shapeOf(inputs[input] ?? "");
      if (operand !== null && side > 0) {
        return (2 * elements(shape) * elements(operand)) / (batch * side);
      }
    }
  }
  // Our own kernel: two products over all heads (scores, context); its gradient makes the scores again, and four more.
  const isGradient = op === "RingmasterAttentionGradient";
  const products = isGradient ? 5 : op === "RingmasterAttention" ? 2 : 0;
  const [, , mask] = isGradient ? inputs.slice(1) : inputs;
  const length = products === 0 ? 0 : (shapeOf(mask ?? "")?.at(-1) ?? 0);
  const made = elements(shape) / (isGradient ? 3 : 1);
  return products * 2 * made * length;
}

function sourceNode(reference: string): string {
  return reference.split(":")[0] ?? reference;
}

function widest(outputs: readonly OpOutput[]): OpOutput | null {
  return outputs.reduce<OpOutput | null>(
    (found, output) => (found === null || output.bytes > found.bytes ? output : found),
    null,
  );
}

/**
 * The kernels of a run as spans, in order of their starts. TensorFlow's clock is the time of day, which may have been set
 * since the worker's began: ops that lie outside of their run are moved into it together.
 * @param parameterOf name of the parameter behind a variable's node, or null
 */
export function opSpans(
  { startMs, endMs, ops }: TracedRun,
  parameterOf: (node: string) => string | null,
): readonly Span[] {
  const shapes = new Map<string, readonly number[]>();
  const near = new Map<string, string>();
  for (const { node, outputs } of ops) {
    for (const { output, shape } of outputs) {
      shapes.set(output === 0 ? node : `${node}:${output}`, shape);
    }
  }
  const shapeOf: ShapeOf = (reference) => shapes.get(reference.replace(/:0$/u, "")) ?? null;
  const first = ops[0]?.startNs ?? 0n;
  const startOf = (op: OpRun): number => Number(op.startNs - first) / nanosPerMs;
  const lastMs = Math.max(0, ...ops.map((op) => startOf(op) + op.tookNs / nanosPerMs));
  const saidMs = Number(first / 1000n) / 1000;
  const firstMs = Math.max(startMs, Math.min(saidMs, endMs - lastMs));
  return ops.map((op): Span => {
    const parameter =
      op.inputs.map(parameterOf).find((name) => name !== null) ??
      // The last first: of a product's operands the second is the weight.
      op.inputs
        .toReversed()
        .map(sourceNode)
        .map((node) => near.get(node))
        .find((name) => name);
    if (parameter !== undefined) near.set(op.node, parameter);
    const output = widest(op.outputs);
    const begin = Math.min(firstMs + startOf(op), endMs);
    return {
      track: "ops",
      name: op.op,
      detail: parameter === undefined ? op.node : `${op.node} near ${parameter}`,
      shape: output === null ? "" : `[${output.shape.join(",")}]`,
      startMs: begin,
      endMs: Math.min(begin + op.tookNs / nanosPerMs, endMs),
      flops: productFlops(op, shapeOf),
      bytes: output?.bytes ?? 0,
    };
  });
}
