/** What exact sums ask of a ring, over a place of a memory ring. */
import type { ExactRing } from "../../worker/exact/group-sum.ts";
import { maxBytes, sumIntegers } from "../../worker/ring/accumulate.ts";
import { collectivesOver, type Place } from "../../worker/ring/collectives.ts";
import { narrowSumOver } from "../../worker/ring/narrow-sum.ts";

/** @param onIntegers hears how many integers are summed, wide or narrow */
export function exactRingOver(
  place: Place,
  onIntegers: (count: number) => void = () => undefined,
): ExactRing {
  const collectives = collectivesOver(place);
  const narrow = narrowSumOver(collectives);
  return {
    worldSize: place.rankCount,
    sumIntegers(vector, signal) {
      onIntegers(vector.length);
      return collectives.allReduce(vector, sumIntegers, signal);
    },
    sumNarrow(vector, bits, signal) {
      onIntegers(vector.length);
      return narrow.reduce(vector, bits, signal);
    },
    scatterIntegers(vector, { bits, segments }, signal) {
      onIntegers(vector.length);
      return bits === 32
        ? collectives.scatterTo(vector, sumIntegers, segments, signal)
        : narrow.scatter(vector, bits, segments, signal);
    },
    maxBytes: (bytes, signal) => collectives.allReduce(bytes, maxBytes, signal),
  };
}
