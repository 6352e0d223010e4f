/** What a place in a ring needs for training: the batches dealt to it, read ahead, and the sum over the global batch. */
import type { FormRing } from "../proto/gen/ringmaster/v1/run_pb.ts";
import { groupMicrobatches } from "./exact/block-layout.ts";
import { ExactSum } from "./exact/exact-sum.ts";
import { TensorHasher } from "./hashing/tensor-hasher.ts";
import { Feed } from "./input/feed.ts";
import type { PreparedJob } from "./job.ts";
import type { Session } from "./session/session.ts";
import { StepFeed } from "./step-feed.ts";

/** Steps whose microbatches are held ready, and the fewest microbatches held. */
const stepsAhead = 2;
const microbatchesAheadMin = 2;

/** What a training place has beside its ring. */
export interface TrainingMeans {
  readonly feed: StepFeed;
  readonly sum: ExactSum;
  readonly hasher: TensorHasher;
}

/** Makes them for one generation after the other. */
export class TrainingMeansMaker {
  readonly #hasher = new TensorHasher();
  #held: { readonly slotCount: number; readonly sum: ExactSum } | null = null;

  /** Starts to read from the step after the last committed one. */
  open(job: PreparedJob, formRing: FormRing, session: Session): TrainingMeans {
    const { generation, committedStep, members } = formRing;
    const ownPerStep = Math.ceil(job.microbatchesPerStep / members.length);
    const fromStep = committedStep + 1n;
    const source = new Feed({
      source: (over) =>
        session.readMicrobatches({ generation, split: "train", fromStep, evaluation: 0n }, over),
      collating: job.input,
      microbatchSize: job.microbatchSize,
      ahead: Math.max(stepsAhead * ownPerStep, microbatchesAheadMin),
    });
    return {
      feed: new StepFeed(source),
      sum: this.#sumFor(job, ownPerStep),
      hasher: this.#hasher,
    };
  }

  /** One sum serves all generations, until one needs to hold more microbatches. */
  #sumFor(job: PreparedJob, ownPerStep: number): ExactSum {
    const { reductionParts, rowParts, wire } = job;
    const length = reductionParts.reduce((sum, size) => sum + size, 0);
    const slotCount = Math.min(ownPerStep, groupMicrobatches(length, wire));
    if (this.#held === null || this.#held.slotCount < slotCount) {
      const sum = new ExactSum(reductionParts, slotCount, rowParts, {
        form: wire,
        // Buffers, loss and weight follow the gradients.
        wideFrom: job.table.entries.filter((entry) => entry.trainableOffset !== null).length,
      });
      // A survivor may be asked for the last step's gradient by those that lack it.
      if (this.#held !== null) sum.takeOver(this.#held.sum);
      this.#held = { slotCount, sum };
    }
    return this.#held.sum;
  }
}
