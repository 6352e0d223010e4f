/**
 * One step up to the point where it may be committed: compute the microbatches dealt to this rank phase by phase,
 * exchange after each, and say what the whole global batch came to. No variable changes here.
 */
import { create } from "@bufbuild/protobuf";
import {
  StepReducedSchema,
  StepTimingsSchema,
  type RunStep,
  type StepReduced,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { Engine } from "./engine/engine.ts";
import { dealingByRank, layOutGather, packParts, unpackParts } from "./gather.ts";
import { abortable } from "./input/feed.ts";
import type { Batch, InputSpec } from "./model/model.ts";
import type { ExactSum } from "./exact/exact-sum.ts";
import type { TensorHasher } from "./hashing/tensor-hasher.ts";
import type { StepRecorder, StepRing } from "./profile/step-recorder.ts";
import type { StepFeed } from "./step-feed.ts";
import { roundingKey } from "./exact/rounding-key.ts";
import { Stopwatch } from "./stopwatch.ts";

/** A phase as the step loop needs to know it. */
export interface StepPhase {
  readonly name: string;
  readonly collective: "sum" | "gather";
  /** What a gather phase gives, as the later phases are fed it; empty for a sum phase. */
  readonly gives: readonly InputSpec[];
}

/** Loss and weight end the reduced vector; they are reported as they are, not hashed. */
const scalarsAtEnd = 2;

/** What a step works with. */
export interface StepMeans {
  readonly engine: Engine;
  readonly phases: readonly StepPhase[];
  /** Microbatches of a full global batch. */
  readonly microbatchesPerStep: number;
  readonly ring: StepRing;
  /** The job's, of which the rounding of narrow integers is made. */
  readonly seed: bigint;
  /** Adds up the global batch; holds the reduced gradient until the next step is computed. */
  readonly sum: ExactSum;
  readonly hasher: TensorHasher;
  readonly feed: StepFeed;
  readonly nowMs: () => number;
  /** Hears what the worker is doing. */
  readonly onActivity: (activity: "data" | "compute" | "exchange") => void;
  /** Notes where the time of the step goes; null when it is not profiled. */
  readonly recorder: StepRecorder | null;
  /** Milliseconds of the update of the step before, for the report. */
  readonly lastUpdateMs: number;
}

/** Computes and reduces a step. Rejects with LinkBroken, the signal's reason, BadInput of the data, or a failure. */
export async function reduceStep(
  runStep: RunStep,
  means: StepMeans,
  signal: AbortSignal,
): Promise<StepReduced> {
  const { recorder } = means;
  const watched = recorder === null ? means : { ...means, ring: recorder.watch(means.ring) };
  return await reduceWatched(runStep, watched, signal);
}

async function reduceWatched(
  runStep: RunStep,
  means: StepMeans,
  signal: AbortSignal,
): Promise<StepReduced> {
  const { engine, ring, sum, recorder, onActivity } = means;
  const step = Number(runStep.step);
  const watch = new Stopwatch<"data" | "compute" | "exchange">(means.nowMs, {
    onActivity,
    ...(recorder === null
      ? {}
      : { onSpent: (...[name, start, end, detail]) => recorder.add(name, start, end, detail) }),
  });
  const before = { sent: ring.counters.bytesSent, received: ring.counters.bytesReceived };
  const course: Course = { runStep, step, watch, means, batches: new Map() };
  let gathered: Readonly<Record<string, Float32Array>> = {};
  for (const [index, phase] of means.phases.entries()) {
    if (phase.collective === "gather") {
      gathered = { ...gathered, ...(await runGatherPhase(course, { index, gathered }, signal)) };
    } else {
      await runSumPhase(course, { index, gathered }, signal);
    }
  }
  const hash = () => means.hasher.hashPieces(sum.pieces().slice(0, -scalarsAtEnd), signal);
  const [norm, tensorHashes] = await watch.time(
    "compute",
    // The engine's thread works on the one, this thread on the other.
    () =>
      Promise.all([
        abortable(engine.norm(sum.vector), signal),
        recorder === null ? hash() : recorder.time("hash gradients", hash),
      ]),
    "norm",
  );
  const { bytesSent, bytesReceived, transport } = ring.counters;
  return create(StepReducedSchema, {
    step: runStep.step,
    attempt: runStep.attempt,
    ...norm,
    tensorHashes,
    ...countSamples([...course.batches.values()]),
    timings: create(StepTimingsSchema, {
      dataMs: watch.spentMs("data"),
      computeMs: watch.spentMs("compute"),
      exchangeMs: watch.spentMs("exchange"),
      updateMs: means.lastUpdateMs,
    }),
    exchangeBytesSent: BigInt(bytesSent - before.sent),
    exchangeBytesReceived: BigInt(bytesReceived - before.received),
    transport,
  });
}

/** A step under way. */
interface Course {
  readonly runStep: RunStep;
  readonly step: number;
  readonly watch: Stopwatch<"data" | "compute" | "exchange">;
  readonly means: StepMeans;
  /** Batches that this rank has taken, by microbatch. */
  readonly batches: Map<number, Batch>;
}

/** A phase under way. */
interface PhaseRun {
  /** Place among the phases. */
  readonly index: number;
  /** What earlier phases have gathered. */
  readonly gathered: Readonly<Record<string, Float32Array>>;
}

/** Computes group by group and adds each group's sum over all ranks, whether or not a part of it is dealt to this one. */
async function runSumPhase(course: Course, phase: PhaseRun, signal: AbortSignal): Promise<void> {
  const { runStep, watch, means } = course;
  const { sum, ring } = means;
  for (const [group, [first, end]] of sum.groups(runStep.microbatchCount).entries()) {
    const own = runStep.microbatches.filter((index) => index >= first && index < end);
    for (const [slot, microbatch] of own.entries()) {
      const place = { microbatch, into: sum.slot(slot) };
      const { touched } = await runMicrobatch(course, phase, place, signal);
      sum.roundBy(slot, roundingKey(means.seed, course.step, microbatch));
      if (touched !== undefined) sum.touch(slot, touched);
    }
    const exchange = (): Promise<void> => {
      if (group === 0) sum.begin();
      return sum.addGroup(own.length, end - first, ring, signal);
    };
    await watch.time("exchange", exchange, `microbatches ${first} to ${end - 1}`);
  }
}

const nothing = new Float32Array(0);

/** Computes the own microbatches and gives all ranks' outputs in microbatch order. */
async function runGatherPhase(
  course: Course,
  phase: PhaseRun,
  signal: AbortSignal,
): Promise<Record<string, Float32Array>> {
  const { runStep, watch, means } = course;
  const parts: Record<string, Float32Array>[] = [];
  for (const microbatch of runStep.microbatches) {
    const place = { microbatch, into: nothing };
    const { gathered } = await runMicrobatch(course, phase, place, signal);
    if (gathered !== undefined) parts.push(gathered);
  }
  const gives = means.phases[phase.index]?.gives ?? [];
  return await watch.time("exchange", () => gather(course, gives, parts, signal));
}

async function runMicrobatch(
  course: Course,
  phase: PhaseRun,
  { microbatch, into }: { readonly microbatch: number; readonly into: Float32Array },
  signal: AbortSignal,
) {
  const { runStep, step, watch, means, batches } = course;
  const { microbatchCount } = runStep;
  const detail = `microbatch ${microbatch}`;
  const take = () => means.feed.take(step, microbatch, signal);
  const batch = await watch.time("data", take, detail);
  batches.set(microbatch, batch);
  const at = { step, microbatch, microbatchCount };
  const feeds = { gathered: phase.gathered, into };
  const compute = () => abortable(means.engine.runPhase(phase.index, batch, at, feeds), signal);
  return await watch.time("compute", compute, detail);
}

function countSamples(batches: readonly Batch[]) {
  const sumOf = (count: (batch: Batch) => number): number =>
    batches.reduce((sum, batch) => sum + count(batch), 0);
  return {
    tokens: BigInt(sumOf((batch) => batch.tokens)),
    paddedTokens: BigInt(sumOf((batch) => batch.paddedTokens)),
    samples: sumOf((batch) => batch.samples),
    truncatedSamples: sumOf((batch) => batch.truncated),
  };
}

async function gather(
  { runStep, means }: Course,
  gives: readonly InputSpec[],
  parts: readonly Record<string, Float32Array>[],
  signal: AbortSignal,
): Promise<Record<string, Float32Array>> {
  const { ring, microbatchesPerStep } = means;
  const layout = layOutGather(gives, microbatchesPerStep);
  const dealing = dealingByRank(runStep.dealtTo, ring.worldSize);
  if (runStep.dealtTo.length !== runStep.microbatchCount) {
    throw new Error(`Cannot gather in step ${runStep.step} as it does not say who computes what`);
  }
  const packed = packParts(parts, layout);
  const rowBytes = layout.perMicrobatch * Float32Array.BYTES_PER_ELEMENT;
  const sizes = dealing.map((microbatches) => microbatches.length * rowBytes);
  const own = new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
  const all = await ring.allGather(own, sizes, signal);
  return unpackParts(all.map(floatsOf), dealing, layout);
}

function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
