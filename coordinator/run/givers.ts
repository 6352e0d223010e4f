/** Who in the ring gives the state of a run. */
import type { Member } from "../server/membership.ts";
import type { RunContext } from "./run-context.ts";

/** Who gives a state with its moments: rank 0, or every rank its share. Throws where the ring is empty. */
export function giversOf({ fleet, settings }: RunContext): readonly Member[] {
  const givers = settings.zeroStage === 1 ? fleet.members : fleet.members.slice(0, 1);
  if (givers.length === 0) throw new Error("Cannot take a state as the ring is empty");
  return givers;
}
