/** What a place in a ring needs for training: the batches dealt to it, read ahead, and the sum over the global batch. */
import { groupMicrobatches } from "../foundation/gradient-wire.ts";
import type { Share } from "../foundation/parameters/shares.ts";
import type { ParameterTable } from "../foundation/parameters/table.ts";
import type { FormRing } from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { ArenaMeans } from "./exact/arena.ts";
import { ExactSum } from "./exact/exact-sum.ts";
import { FloatSum } from "./exact/float-sum.ts";
import type { GradientSum } from "./exact/gradient-sum.ts";
import { dealRegions, shareOf, type Ownership } from "./exact/ownership.ts";
import { TensorHasher } from "./hashing/tensor-hasher.ts";
import { Feed } from "./input/feed.ts";
import type { PreparedJob } from "./job.ts";
import type { Session } from "./session/session.ts";
import { StepFeed } from "./step-feed.ts";
import { Traffic } from "./traffic.ts";
import { RunWatch } from "./watched-run.ts";

/** Steps whose microbatches are held ready, and the fewest microbatches held. */
const stepsAhead = 2;
const microbatchesAheadMin = 2;

/** What a training place has beside its ring. */
export interface TrainingMeans {
  readonly feed: StepFeed;
  readonly sum: GradientSum;
  /** Who owns what of the gradient; null where every rank has and updates all. */
  readonly ownership: Ownership | null;
  readonly hasher: TensorHasher;
  readonly traffic: Traffic;
  readonly runs: RunWatch;
}

/** Makes them for one generation after the other. */
export class TrainingMeansMaker {
  readonly #hasher = new TensorHasher();
  readonly #nowMs: () => number;
  readonly #arenaMeans: ArenaMeans;
  /** One for all generations: what an abandoned step still computes writes to the same slots. */
  #runs: RunWatch | null = null;
  #held: {
    readonly slotCount: number;
    readonly isShown: boolean;
    readonly sum: GradientSum;
  } | null = null;

  /**
   * @param nowMs milliseconds of a clock that only goes forward
   * @param arenaMeans with what gradients are summed; its files let the ranks of a host read each other's
   */
  constructor(nowMs: () => number, arenaMeans: ArenaMeans = {}) {
    this.#nowMs = nowMs;
    this.#arenaMeans = arenaMeans;
  }

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
      sum: this.#sumFor(job, ownPerStep, members.length),
      ownership: ownershipOf(job, formRing),
      hasher: this.#hasher,
      traffic: new Traffic(),
      runs: (this.#runs ??= new RunWatch(job.reductionParts.length, this.#nowMs)),
    };
  }

  /** One sum serves all generations, until one needs to hold more microbatches, or to show them to others. */
  #sumFor(job: PreparedJob, ownPerStep: number, rankCount: number): GradientSum {
    const { reductionParts, rowParts, wire, table } = job;
    const length = reductionParts.reduce((sum, size) => sum + size, 0);
    const slotCount = Math.min(ownPerStep, groupMicrobatches(length, wire));
    const isShown = wire.exact && (this.#arenaMeans.files ?? null) !== null && rankCount > 1;
    const serves = this.#held !== null && this.#held.slotCount >= slotCount;
    if (this.#held === null || !serves || (isShown && !this.#held.isShown)) {
      const sum = wire.exact
        ? this.#exactSum(job, slotCount, isShown)
        : new FloatSum(reductionParts, rowParts, gradientPartsOf(table));
      this.#held = { slotCount, isShown, sum };
    }
    return this.#held.sum;
  }

  #exactSum(
    { reductionParts, rowParts, wire, table }: PreparedJob,
    slotCount: number,
    isShown: boolean,
  ): ExactSum {
    const sum = new ExactSum(reductionParts, slotCount, rowParts, {
      form: wire,
      // Buffers, loss and weight follow the gradients.
      wideFrom: gradientPartsOf(table),
      arenaMeans: { ...this.#arenaMeans, ...(isShown ? {} : { files: null }) },
    });
    // A survivor may be asked for the last step's gradient by those that lack it.
    const before = this.#held?.sum;
    if (before instanceof ExactSum) sum.takeOver(before);
    return sum;
  }
}

/** What a rank of a ring keeps the optimiser's state of; null for all. */
export function shareFor(job: PreparedJob, formRing: FormRing): Share | null {
  const ownership = ownershipOf(job, formRing);
  return ownership === null ? null : shareOf(ownership.regions, ownership.rank);
}

function ownershipOf(job: PreparedJob, { rank, members }: FormRing): Ownership | null {
  if (job.zeroStage === 0) return null;
  const { reductionParts, rowParts, wire, table, gradientBuckets, microbatchesPerStep } = job;
  const form = {
    partSizes: reductionParts,
    rowParts,
    gradientParts: gradientPartsOf(table),
    wire,
    buckets: gradientBuckets,
    microbatches: microbatchesPerStep,
  };
  const rankCount = members.length;
  return { rank, rankCount, regions: dealRegions(form, rankCount) };
}

function gradientPartsOf({ entries }: ParameterTable): number {
  return entries.filter((entry) => entry.trainableOffset !== null).length;
}
