/** How records become microbatches: the contract between a family's collator and the input thread. */
import type { SampleRecord } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Batch } from "./model.ts";

/** Makes batches. Has no state but caches: the same records give the same batch. */
export interface Collator {
  /**
   * Makes a batch of `microbatchSize` rows; rows beyond the samples are padding of weight 0. Samples without a label or
   * target have weight 0 too: they have logits and no loss.
   * Throws RangeError for more samples than rows, or none.
   */
  collate(samples: readonly SampleRecord[], microbatchSize: number): Batch;
}
