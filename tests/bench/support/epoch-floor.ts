/** What an epoch of bench:epoch needs at least: training on every pair once and reading the test's, without padding. */
import { epochBatches, epochLength, type EpochJob } from "./epoch-parts.ts";
import {
  forwardFlops,
  forwardProducts,
  modelProducts,
  trainingFlops,
  type Product,
} from "./floor.ts";
import { meanBatch, openFloorModel } from "./floor-model.ts";
import { sentencePairs } from "./mrpc-files.ts";

/** Operations of a whole epoch, and the products whose rate is measured for them. */
export interface EpochNeed {
  readonly flops: number;
  /** Of training and of evaluation, at batches of mean length. */
  readonly products: readonly Product[];
}

/** Counts it. */
export async function countEpoch(job: EpochJob): Promise<EpochNeed> {
  const { shape, tokensOf } = await openFloorModel(job.model);
  const maxLength = epochLength(job);
  const train = tokensOf(sentencePairs(job.files.train), maxLength);
  const test = tokensOf(sentencePairs(job.files.test), maxLength);
  const evaluation = forwardProducts(shape, meanBatch(test, epochBatches.evaluation));
  return {
    flops: trainingFlops(shape, train, "first-row") + forwardFlops(shape, test, "first-row"),
    products: [
      ...modelProducts(shape, meanBatch(train, epochBatches.train)),
      ...evaluation.map((product) => ({ ...product, name: `${product.name}, evaluation` })),
    ],
  };
}
