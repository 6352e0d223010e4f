/** The memory of a state that has served, given back to the system (`Engine.giveBack`). */
import type { OwnBinding } from "./binding.ts";
import type { EngineState } from "./engine.ts";

/** Gives back the pages of a state's vectors, which hold zeros from then on; moments that are shared out stay. */
export function releaseState(
  binding: Pick<OwnBinding, "releasePages">,
  { parameters, firstMoment, secondMoment, share }: EngineState,
): void {
  const moments = share === undefined ? [firstMoment, secondMoment] : [];
  for (const vector of [parameters, ...moments]) {
    if (vector === undefined) continue;
    const { buffer, byteOffset, byteLength } = vector;
    binding.releasePages(new Uint8Array(buffer, byteOffset, byteLength));
  }
}
