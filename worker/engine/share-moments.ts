/** AdamW's moments of one share of the parameters, in memory that TensorFlow changes where it lies. */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import {
  placeShare,
  shareLength,
  wholeShare,
  type PlacedRange,
  type Share,
} from "../../foundation/parameters/shares.ts";
import type { EngineState } from "./engine.ts";
import { allocateShared } from "./shared-vector.ts";

/** The moments; nothing is held of other shares. */
export interface ShareMoments {
  readonly share: Share;
  /** Where the share's ranges lie in the moments. */
  readonly ranges: readonly PlacedRange[];
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
}

/** Takes those of a state, zeros where it has none. Throws RangeError where they are not of its share. */
export function takeMoments(
  state: EngineState,
  { trainableSize }: Pick<ParameterTable, "trainableSize">,
): ShareMoments {
  const share = state.share ?? wholeShare(trainableSize);
  const length = shareLength(share);
  const take = (values: Float32Array | undefined): Float32Array => {
    const own = allocateShared(length);
    if (values === undefined) return own;
    if (values.length !== own.length) {
      throw new RangeError(
        `Cannot take ${values.length} moments for a share of ${own.length} elements`,
      );
    }
    own.set(values);
    return own;
  };
  const ranges = placeShare(share);
  return {
    share,
    ranges,
    firstMoment: take(state.firstMoment),
    secondMoment: take(state.secondMoment),
  };
}
