/**
 * What a run will do, step by step: which samples each step takes, where epochs end, what is due after a step. Pure; a
 * step's microbatches depend on (seed, step) alone, never on workers or on where a run was resumed.
 */
import type { JobSettings } from "../../foundation/job/settings.ts";

/** One epoch's global batches. */
export interface EpochBatches {
  readonly batchCount: number;
  /** Microbatches of a global batch, each a list of sample indices. */
  batch(index: number): readonly (readonly number[])[];
}

/** What is done after a step. */
export interface Due {
  /** The step is the last one of its epoch, or of the run. */
  readonly epochEnd: boolean;
  readonly log: boolean;
  readonly evaluate: boolean;
  readonly save: boolean;
}

/** The settings that decide what is due. */
export type DueSettings = Pick<
  JobSettings,
  "loggingSteps" | "evalStrategy" | "evalSteps" | "saveStrategy" | "saveSteps"
>;

const plannedEpochsKept = 2;

/** The steps of a run. */
export class TrainingPlan {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly #planEpoch: (epoch: number) => EpochBatches;
  readonly #epochs = new Map<number, EpochBatches>();

  /** @param planEpoch gives the batches of an epoch, counted from 0 */
  constructor(options: {
    readonly totalSteps: number;
    readonly stepsPerEpoch: number;
    readonly planEpoch: (epoch: number) => EpochBatches;
  }) {
    this.totalSteps = options.totalSteps;
    this.stepsPerEpoch = options.stepsPerEpoch;
    this.#planEpoch = options.planEpoch;
  }

  /** Epoch of a step, from 0. Steps count from 1. */
  epochOf(step: number): number {
    return Math.floor((step - 1) / this.stepsPerEpoch);
  }

  /** Epochs done after a step, as a fraction. */
  epochsDone(step: number): number {
    return step / this.stepsPerEpoch;
  }

  /** Whether a step is the first of its epoch. */
  startsEpoch(step: number): boolean {
    return (step - 1) % this.stepsPerEpoch === 0;
  }

  /** Microbatches of a step, each a list of sample indices. */
  microbatches(step: number): readonly (readonly number[])[] {
    const epoch = this.epochOf(step);
    return this.#batchesOf(epoch).batch((step - 1) % this.stepsPerEpoch);
  }

  /** What is done after a step; after the last one all that recurs is done once more. */
  due(step: number, settings: DueSettings): Due {
    const last = step === this.totalSteps;
    const epochEnd = last || step % this.stepsPerEpoch === 0;
    const recurs = (strategy: JobSettings["evalStrategy"], interval: number): boolean => {
      if (strategy === "no") return false;
      return strategy === "epoch" ? epochEnd : last || step % interval === 0;
    };
    return {
      epochEnd,
      log: step % settings.loggingSteps === 0,
      evaluate: recurs(settings.evalStrategy, settings.evalSteps),
      save: recurs(settings.saveStrategy, settings.saveSteps),
    };
  }

  #batchesOf(epoch: number): EpochBatches {
    const known = this.#epochs.get(epoch);
    if (known !== undefined) return known;
    const batches = this.#planEpoch(epoch);
    this.#epochs.set(epoch, batches);
    for (const planned of this.#epochs.keys()) {
      if (planned <= epoch - plannedEpochsKept) this.#epochs.delete(planned);
    }
    return batches;
  }
}
