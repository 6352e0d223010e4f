/** A batch for tests in which nobody looks into it. */
import type { Batch } from "../../worker/model/model.ts";

/** One sample of one token. */
export const anyBatch: Batch = {
  shapeKey: "any",
  arrays: {},
  samples: 1,
  tokens: 1,
  paddedTokens: 1,
  truncated: 0,
};
