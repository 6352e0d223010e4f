/** A step under way, and how one of its microbatches is computed. */
import type { RunStep } from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { AppliedStep } from "./apply-step.ts";
import type { Engine } from "./engine/engine.ts";
import type { GradientSum } from "./exact/gradient-sum.ts";
import type { Ownership } from "./exact/ownership.ts";
import type { GradientDigest } from "./gradient-digest.ts";
import type { Traffic } from "./traffic.ts";
import type { TensorHasher } from "./hashing/tensor-hasher.ts";
import type { Batch, InputSpec } from "./model/model.ts";
import type { StepRecorder, StepRing } from "./profile/step-recorder.ts";
import type { StepFeed } from "./step-feed.ts";
import type { Stopwatch } from "./stopwatch.ts";
import type { RunWatch, WatchedRun } from "./watched-run.ts";

/** A phase as the step loop needs to know it. */
export interface StepPhase {
  readonly name: string;
  readonly collective: "sum" | "gather";
  /** What a gather phase gives, as the later phases are fed it; empty for a sum phase. */
  readonly gives: readonly InputSpec[];
}

/** What a step works with. */
export interface StepMeans {
  readonly engine: Engine;
  readonly phases: readonly StepPhase[];
  /** Microbatches of a full global batch. */
  readonly microbatchesPerStep: number;
  readonly ring: StepRing;
  /** The job's, of which the rounding of narrow integers is made. */
  readonly seed: bigint;
  /** Who owns what of the gradient; null where every rank has and updates all. */
  readonly ownership: Ownership | null;
  /** Adds up the global batch; holds the reduced gradient until the next step is computed. */
  readonly sum: GradientSum;
  /** Buckets in which gradients are exchanged; null for as many as pay. The same on all ranks. */
  readonly gradientBuckets: number | null;
  readonly runs: RunWatch;
  readonly hasher: TensorHasher;
  /** Of the ring. */
  readonly traffic: Traffic;
  readonly feed: StepFeed;
  readonly nowMs: () => number;
  /** Hears what the worker is doing. */
  readonly onActivity: (activity: StepActivity) => void;
  /** Notes where the time of the step goes; null when it is not profiled. */
  readonly recorder: StepRecorder | null;
  /** What the update of the step before came to, for the report. */
  readonly lastApplied: AppliedStep;
}

/** What a step spends its time on. */
export type StepActivity = "data" | "compute" | "exchange";

/** A step under way. */
export interface Course {
  readonly runStep: RunStep;
  readonly step: number;
  readonly watch: Stopwatch<StepActivity>;
  readonly means: StepMeans;
  readonly digest: GradientDigest;
  /** Batches that this rank has taken, by microbatch. */
  readonly batches: Map<number, Batch>;
}

/** A phase under way. */
export interface PhaseRun {
  /** Place among the phases. */
  readonly index: number;
  /** What earlier phases have gathered. */
  readonly gathered: Readonly<Record<string, Float32Array>>;
}

/** A microbatch of this rank. */
export interface OwnMicrobatch {
  readonly microbatch: number;
  /** Where a sum phase writes its vector. */
  readonly into: Float32Array;
}

/** How a microbatch is called in profiles. */
export function microbatchName(microbatch: number): string {
  return `microbatch ${microbatch}`;
}

/** Takes a microbatch's batch and starts its program. */
export async function startMicrobatch(
  course: Course,
  phase: PhaseRun,
  { microbatch, into }: OwnMicrobatch,
  signal: AbortSignal,
): Promise<WatchedRun> {
  const { runStep, step, watch, means, batches } = course;
  const { microbatchCount } = runStep;
  const take = () => means.feed.take(step, microbatch, signal);
  const batch = await watch.time("data", take, microbatchName(microbatch));
  batches.set(microbatch, batch);
  const at = { step, microbatch, microbatchCount };
  // A field that is not there is 0.
  const feeds = { gathered: phase.gathered, into, lossScale: runStep.lossScale || 1 };
  return means.runs.start((marks) =>
    means.engine.runPhase(phase.index, batch, at, { ...feeds, marks }),
  );
}
