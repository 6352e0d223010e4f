/** Profiles the steps that the coordinator chooses: from RunStep's turn until the update is applied. */
import type { RunStep, StepProfiled } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Engine } from "../engine/engine.ts";
import { abortable } from "../../foundation/abortable.ts";
import type { Collation, CollationLog } from "../input/collation-log.ts";
import type { Batch } from "../model/model.ts";
import { encodeProfile } from "./encode-profile.ts";
import { plainSpan, type Span } from "./span.ts";
import { StepRecorder } from "./step-recorder.ts";

/** The input of a step. */
export interface StepInput {
  readonly log: CollationLog;
  /** Batches of the step, by microbatch. */
  readonly batches: ReadonlyMap<number, Batch>;
}

/** One worker's profiles. */
export class StepProfiler {
  readonly #nowMs: () => number;
  #recorder: StepRecorder | null = null;
  #isEngineNoting = false;
  /** What has been told: batches are made ahead, so a later step may come upon them again. */
  readonly #told = new WeakSet<Collation>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Notes of the step under way, or null. */
  get recorder(): StepRecorder | null {
    return this.#recorder;
  }

  /** A step's turn has come. Notes of one that was abandoned are dropped. */
  async begin({ step, profile }: RunStep, engine: Engine, signal: AbortSignal): Promise<void> {
    this.#recorder = null;
    if (profile) {
      this.#isEngineNoting = true;
      await abortable(engine.startProfile(), signal);
      this.#recorder = new StepRecorder(Number(step), this.#nowMs);
    } else if (this.#isEngineNoting) {
      this.#isEngineNoting = false;
      await abortable(engine.takeProfile(), signal);
    }
  }

  /** The step's update is applied: its profile, or null where it was not to be profiled. */
  async finish(
    engine: Engine,
    input: StepInput,
    signal: AbortSignal,
  ): Promise<StepProfiled | null> {
    const recorder = this.#recorder;
    if (recorder === null) return null;
    const endMs = this.#nowMs();
    this.#recorder = null;
    this.#isEngineNoting = false;
    const { spans, ...engineNotes } = await abortable(engine.takeProfile(), signal);
    const { step, originMs } = recorder;
    const all = [...recorder.spans, ...spans, ...this.#inputSpans(input, originMs, endMs)];
    const batches = [...input.batches.values()];
    return encodeProfile(all, {
      step,
      originMs,
      tookMs: endMs - originMs,
      tokens: batches.reduce((sum, batch) => sum + batch.tokens, 0),
      paddedTokens: batches.reduce((sum, batch) => sum + batch.paddedTokens, 0),
      ...engineNotes,
    });
  }

  /** When the step's own batches were made, and what else the input thread did during the step. */
  #inputSpans({ log, batches }: StepInput, startMs: number, endMs: number): readonly Span[] {
    const details = new Map<Collation, string>();
    for (const collation of log.recent) {
      if (collation.endMs > startMs && collation.startMs < endMs) details.set(collation, "ahead");
    }
    for (const [microbatch, batch] of batches) {
      const collation = log.of(batch);
      if (collation !== null) details.set(collation, `microbatch ${microbatch} of this step`);
    }
    const fresh = [...details].filter(([collation]) => !this.#told.has(collation));
    return fresh.map(([collation, detail]) => {
      this.#told.add(collation);
      return plainSpan("input", "collate", collation, detail);
    });
  }
}
