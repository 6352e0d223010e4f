/** The memory of a state that has served, given back to the system (`Engine.giveBack`). */
import type { OwnBinding } from "./binding.ts";
import type { EngineState } from "./engine.ts";

/** Gives back the pages of a state's vectors, which hold zeros from then on. */
export function releaseState(
  binding: Pick<OwnBinding, "releasePages">,
  { parameters, firstMoment, secondMoment }: EngineState,
): void {
  for (const vector of [parameters, firstMoment, secondMoment]) {
    if (vector === undefined) continue;
    const { buffer, byteOffset, byteLength } = vector;
    binding.releasePages(new Uint8Array(buffer, byteOffset, byteLength));
  }
}
