/** What the ranks of a ring agree on when it forms: each says what it can, and all hear the least. */
import { allGather, type Place } from "./collectives.ts";

/** The least of what all ranks say, whole numbers below 2³². Rejects with LinkBroken, or with the signal's reason. */
export async function leastOf(place: Place, own: number, signal: AbortSignal): Promise<number> {
  const vote = new Uint8Array(Uint32Array.of(own).buffer);
  const sizes = Array.from({ length: place.rankCount }, () => vote.byteLength);
  const votes = await allGather(place, vote, sizes, signal);
  return Math.min(...votes.map((bytes) => Buffer.from(bytes).readUInt32LE()));
}

/** Whether all ranks say yes. Rejects as `leastOf` does. */
export async function allSay(place: Place, own: boolean, signal: AbortSignal): Promise<boolean> {
  return (await leastOf(place, own ? 1 : 0, signal)) === 1;
}
