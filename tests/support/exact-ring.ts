/** What exact sums ask of a ring, over a place of a ring or over shared boards. */
import type { ExactRing } from "../../worker/exact/group-sum.ts";
import { maxBytes, sumIntegers } from "../../worker/ring/accumulate.ts";
import { collectivesOver, type Collectives, type Place } from "../../worker/ring/collectives.ts";
import { narrowSumOver } from "../../worker/ring/narrow-sum.ts";
import { pairReduction } from "../../worker/ring/pair-reduction.ts";
import { carryingOver } from "../../worker/ring/ring-carry.ts";
import type { SharedCollectives } from "../../worker/ring/shared-collectives.ts";

type HearsIntegers = (count: number) => void;

/** @param onIntegers hears how many integers are summed, wide or narrow */
export function exactRingOver(place: Place, onIntegers?: HearsIntegers): ExactRing {
  const carrying = carryingOver(place);
  return { ...integersOver(collectivesOver(place), onIntegers), direct: null, carrying };
}

/** The same of a ring of two, in which both reach each other. */
export function exactRingOfTwo(place: Place, onIntegers?: HearsIntegers): ExactRing {
  return { ...exactRingOver(place, onIntegers), direct: pairReduction(place) };
}

/** @param onIntegers hears how many integers are summed: those that owners make are not */
export function exactRingShared(shared: SharedCollectives, onIntegers?: HearsIntegers): ExactRing {
  return { ...integersOver(shared, onIntegers), direct: shared, carrying: null };
}

function integersOver(
  collectives: Collectives,
  onIntegers: HearsIntegers = () => undefined,
): Omit<ExactRing, "direct" | "carrying"> {
  const narrow = narrowSumOver(collectives);
  return {
    worldSize: collectives.rankCount,
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
