/** What becomes of a state when other tensors train than before. Pure. */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { EngineState } from "./engine.ts";

/** A state in the layout of another table of the same tensors: moments follow what still trains, new ones are zero. */
export function carryState(
  state: EngineState,
  from: ParameterTable,
  to: ParameterTable,
): EngineState {
  const move = (source: Float32Array | undefined): Float32Array => {
    const target = new Float32Array(to.trainableSize);
    for (const entry of to.entries) {
      const before =
        from.entries.find((candidate) => candidate.name === entry.name)?.trainableOffset ?? null;
      if (entry.trainableOffset === null || before === null || source === undefined) continue;
      target.set(source.subarray(before, before + entry.size), entry.trainableOffset);
    }
    return target;
  };
  if (from.stateSize !== to.stateSize) {
    throw new Error("Cannot replace programs: the new table has other tensors");
  }
  return {
    parameters: state.parameters,
    step: state.step,
    firstMoment: move(state.firstMoment),
    secondMoment: move(state.secondMoment),
  };
}
