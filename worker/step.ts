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
import { dealingByRank, layOutGather, packParts, unpackParts } from "./gather.ts";
import { GradientDigest } from "./gradient-digest.ts";
import { abortable } from "../foundation/abortable.ts";
import type { Batch, InputSpec } from "./model/model.ts";
import {
  microbatchName,
  startMicrobatch,
  type Course,
  type PhaseRun,
  type StepActivity,
  type StepMeans,
} from "./step-course.ts";
import { Stopwatch } from "./stopwatch.ts";
import { runSumPhase } from "./sum-phase.ts";

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
  const { ring, sum, recorder, onActivity } = means;
  const step = Number(runStep.step);
  const watch = new Stopwatch<StepActivity>(means.nowMs, {
    onActivity,
    ...(recorder === null
      ? {}
      : { onSpent: (...[name, start, end, detail]) => recorder.add(name, start, end, detail) }),
  });
  means.traffic.begin(ring.counters);
  const digest = new GradientDigest(sum, means);
  const course: Course = { runStep, step, watch, means, digest, batches: new Map() };
  let gathered: Readonly<Record<string, Float32Array>> = {};
  for (const [index, phase] of means.phases.entries()) {
    if (phase.collective === "gather") {
      gathered = { ...gathered, ...(await runGatherPhase(course, { index, gathered }, signal)) };
    } else {
      await runSumPhase(course, { index, gathered }, signal);
    }
  }
  const [norm, facts] = await watch.time("compute", () => takeFacts(course, signal), "norm");
  const { transport } = ring.counters;
  const { bytesSent, bytesReceived } = means.traffic.tell(ring.counters);
  return create(StepReducedSchema, {
    step: runStep.step,
    attempt: runStep.attempt,
    ...norm,
    tensorHashes: facts.tensorHashes,
    wrongOwners: facts.wrongOwners,
    gatheredWeights: means.lastApplied.gatheredWeights,
    ...countSamples([...course.batches.values()]),
    timings: create(StepTimingsSchema, {
      dataMs: watch.spentMs("data"),
      computeMs: watch.spentMs("compute"),
      exchangeMs: watch.spentMs("exchange"),
      updateMs: means.lastApplied.updateMs,
    }),
    exchangeBytesSent: BigInt(bytesSent),
    exchangeBytesReceived: BigInt(bytesReceived),
    transport,
  });
}

/** The norm, by the engine's thread, and meanwhile, where it does not wait for other ranks, the hashes by this one. */
async function takeFacts({ means, digest }: Course, signal: AbortSignal) {
  const { engine, ring, sum } = means;
  const normOf = (squares: number) => abortable(engine.norm(sum.vector, squares), signal);
  const { squares } = digest;
  if (squares !== null) {
    const norm = normOf(squares);
    const facts = digest.finish(ring, signal);
    // Neither is left behind: hashes of an abandoned step must not be taken beside those of the next.
    await Promise.allSettled([norm, facts]);
    return [await norm, await facts] as const;
  }
  const facts = await digest.finish(ring, signal);
  return [await normOf(facts.squares), facts] as const;
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
    const run = await startMicrobatch(course, phase, { microbatch, into: nothing }, signal);
    const wait = () => abortable(run.result, signal);
    const { gathered } = await watch.time("compute", wait, microbatchName(microbatch));
    if (gathered !== undefined) parts.push(gathered);
  }
  const gives = means.phases[phase.index]?.gives ?? [];
  return await watch.time("exchange", () => gather(course, gives, parts, signal));
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
