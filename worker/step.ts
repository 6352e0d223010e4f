/**
 * One step up to the point where it may be committed: compute the microbatches dealt to this rank phase by phase,
 * exchange after each, and say what the whole global batch came to. No variable changes here.
 */
import { createHash } from "node:crypto";
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
import type { Ring } from "./ring/ring.ts";
import type { StepFeed } from "./step-feed.ts";
import { Stopwatch } from "./stopwatch.ts";

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
  readonly ring: Ring;
  readonly feed: StepFeed;
  readonly nowMs: () => number;
  /** Hears what the worker is doing. */
  readonly onActivity: (activity: "data" | "compute" | "exchange") => void;
  /** Milliseconds of the update of the step before, for the report. */
  readonly lastUpdateMs: number;
}

/** Parts of the reduced vector of which one is hashed at each step. */
export const hashParts = 16;

/** Computes and reduces a step. Rejects with LinkBroken, the signal's reason, BadInput of the data, or a failure. */
export async function reduceStep(
  runStep: RunStep,
  means: StepMeans,
  signal: AbortSignal,
): Promise<StepReduced> {
  const { engine, ring } = means;
  const step = Number(runStep.step);
  const watch = new Stopwatch(means.nowMs, means.onActivity);
  const before = { sent: ring.counters.bytesSent, received: ring.counters.bytesReceived };
  const batches = await runPhases({ runStep, step, watch, means }, signal);
  await watch.time("exchange", () => ring.allReduce(engine.reduction, signal));
  const { gradNorm, lossSum, weight, reducedHash } = await watch.time("compute", async () => {
    const norm = abortable(engine.norm(), signal);
    const hash = hashPart(engine.reduction, step);
    return { ...(await norm), reducedHash: hash };
  });
  const sumOf = (count: (batch: Batch) => number): number =>
    batches.reduce((sum, batch) => sum + count(batch), 0);
  const { bytesSent, bytesReceived, transport } = ring.counters;
  return create(StepReducedSchema, {
    step: runStep.step,
    attempt: runStep.attempt,
    lossSum,
    weight,
    gradNorm,
    reducedHash,
    tokens: BigInt(sumOf((batch) => batch.tokens)),
    paddedTokens: BigInt(sumOf((batch) => batch.paddedTokens)),
    samples: sumOf((batch) => batch.samples),
    truncatedSamples: sumOf((batch) => batch.truncated),
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

interface Course {
  readonly runStep: RunStep;
  readonly step: number;
  readonly watch: Stopwatch<"data" | "compute" | "exchange">;
  readonly means: StepMeans;
}

/** Runs all phases over the own microbatches; sums end up in the engine's reduction vector. */
async function runPhases(course: Course, signal: AbortSignal): Promise<readonly Batch[]> {
  const { runStep, step, watch, means } = course;
  const { engine, feed } = means;
  const { microbatchCount } = runStep;
  const batches: Batch[] = [];
  let gathered: Record<string, Float32Array> = {};
  await watch.time("compute", () => abortable(engine.beginStep(step), signal));
  for (const [index, phase] of means.phases.entries()) {
    const parts: Record<string, Float32Array>[] = [];
    for (const [position, microbatch] of runStep.microbatches.entries()) {
      const batch = await watch.time("data", () => feed.take(step, microbatch, signal));
      batches[position] = batch;
      const at = { step, microbatch, microbatchCount };
      const outputs = await watch.time("compute", () =>
        abortable(engine.runPhase(index, batch, at, gathered), signal),
      );
      if (outputs.gathered !== undefined) parts.push(outputs.gathered);
    }
    if (phase.collective === "gather") {
      const arrays = await watch.time("exchange", () => gather(course, phase, parts, signal));
      gathered = { ...gathered, ...arrays };
    }
  }
  return batches;
}

async function gather(
  { runStep, means }: Course,
  phase: StepPhase,
  parts: readonly Record<string, Float32Array>[],
  signal: AbortSignal,
): Promise<Record<string, Float32Array>> {
  const { ring, microbatchesPerStep } = means;
  const layout = layOutGather(phase.gives, microbatchesPerStep);
  const dealing = dealingByRank(runStep.dealtTo, ring.worldSize);
  if (runStep.dealtTo.length !== runStep.microbatchCount) {
    throw new Error(`Cannot gather after ${phase.name} as the step does not say who computes what`);
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

/** SHA-256 of the part of the reduced vector that a step checks: part `step mod 16` of 16. */
export function hashPart(vector: Float32Array, step: number): Uint8Array {
  const size = Math.ceil(vector.length / hashParts);
  const start = (step % hashParts) * size;
  const part = vector.subarray(Math.min(start, vector.length), start + size);
  return createHash("sha256")
    .update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
    .digest();
}
