/** Finds what was frozen by accident: whatever differs between two recordings of one program with other inputs. Pure. */
import type { AttributeValue, GraphNode } from "./graph-node.ts";
import { RecordingError, type Recording } from "./recorder.ts";

function sameAttribute(
  left: AttributeValue | undefined,
  right: AttributeValue | undefined,
): boolean {
  if (left?.kind === "tensor" && right?.kind === "tensor") {
    const shapes = left.shape.join(",") === right.shape.join(",");
    return shapes && left.dtype === right.dtype && Buffer.from(left.bytes).equals(right.bytes);
  }
  return JSON.stringify(left) === JSON.stringify(right);
}

function sameNode(left: GraphNode | undefined, right: GraphNode | undefined): boolean {
  if (left === undefined || right === undefined) return false;
  const names = new Set([...Object.keys(left.attributes), ...Object.keys(right.attributes)]);
  return (
    left.op === right.op &&
    left.inputs.join() === right.inputs.join() &&
    [...names].every((name) => sameAttribute(left.attributes[name], right.attributes[name]))
  );
}

/**
 * Compares two recordings that were made with other inputs, seeds and step. What differs was computed by the host (from
 * `dataSync`, a step number, a random number of JavaScript) and would be frozen in the graph. Throws RecordingError naming
 * the op and its call site. Reading values is no error by itself: tfjs's own kernels do it to check arguments.
 */
export function refuseFrozenValues(program: string, first: Recording, second: Recording): void {
  const count = Math.max(first.nodes.length, second.nodes.length);
  for (let index = 0; index < count; index++) {
    const left = first.nodes[index];
    const right = second.nodes[index];
    if (sameNode(left, right)) continue;
    const node = left ?? right;
    const what =
      left?.op === "Const" && right?.op === "Const"
        ? "a constant's value"
        : `what is computed (${left?.op ?? "nothing"}, then ${right?.op ?? "nothing"})`;
    const recording = left === undefined ? second : first;
    throw new RecordingError(
      `Cannot record ${program} as ${what} differs between two runs with other inputs: ` +
        `a value of the host would be frozen; made at ${recording.origins.get(node?.name ?? "")?.tell() ?? "an unknown place"}`,
    );
  }
  const told = ({ outputs, blocks }: Recording): string => JSON.stringify([outputs, blocks]);
  if (told(first) !== told(second)) {
    throw new RecordingError(`Cannot record ${program} as its outputs differ between two runs`);
  }
}
