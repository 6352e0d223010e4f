/** How much of what a run computed was in memory at once, from TensorFlow's own notes: from each op's start to its last reader's end. */
import type { OpRun } from "../../worker/profile/run-metadata.ts";

/** Ops whose result is their input's memory. */
const aliases: ReadonlySet<string> = new Set(["Reshape", "Identity", "ExpandDims", "Squeeze"]);
/** Ops whose result was there before the run, or is somebody else's. */
const given: ReadonlySet<string> = new Set([
  "_Arg",
  "Const",
  "ReadVariableOp",
  "VarHandleOp",
  "RingmasterWrite",
]);

interface Life {
  readonly bytes: number;
  readonly fromNs: number;
  untilNs: number;
}

/** The most bytes of results that were needed at any one time. */
export function peakLiveBytes(ops: readonly OpRun[]): number {
  const first = ops[0]?.startNs ?? 0n;
  const lives = new Map<string, Life>();
  const homes = new Map<string, string>();
  const homeOf = (reference: string): string => homes.get(reference) ?? reference;
  for (const { node, op, inputs, startNs, tookNs, outputs } of ops) {
    const start = Number(startNs - first);
    for (const input of inputs) {
      const life = lives.get(homeOf(input));
      if (life !== undefined) life.untilNs = Math.max(life.untilNs, start + tookNs);
    }
    for (const { output, bytes, shape } of outputs) {
      const reference = output === 0 ? node : `${node}:${output}`;
      // A slice of what is fed is a view of it, and told with the bytes of the whole.
      const isView = bytes > 2 * 4 * shape.reduce((product, size) => product * size, 1) + 64;
      if (aliases.has(op) || isView) homes.set(reference, homeOf(inputs[0] ?? ""));
      else if (!given.has(op)) {
        lives.set(reference, { bytes, fromNs: start, untilNs: start + tookNs });
      }
    }
  }
  const changes = [...lives.values()].flatMap(({ bytes, fromNs, untilNs }) => [
    { atNs: fromNs, bytes },
    { atNs: untilNs, bytes: -bytes },
  ]);
  changes.sort((left, right) => left.atNs - right.atNs || left.bytes - right.bytes);
  let [now, most] = [0, 0];
  for (const { bytes } of changes) {
    now += bytes;
    most = Math.max(most, now);
  }
  return most;
}
