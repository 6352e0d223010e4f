/** An evaluation or prediction: forward over the microbatches that the coordinator deals, each reported by itself. */
import { create } from "@bufbuild/protobuf";
import {
  EvaluatedMicrobatchSchema,
  EvaluationDoneSchema,
  type EvaluatedMicrobatch,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { Engine } from "./engine/engine.ts";
import { abortable, type FedMicrobatch } from "./input/feed.ts";
import type { Report } from "./session/session.ts";
import type { MicrobatchSource } from "./step-feed.ts";

/** What an evaluation works with. */
export interface EvaluationMeans {
  readonly engine: Engine;
  readonly source: MicrobatchSource;
  readonly report: (report: Report) => Promise<void>;
}

/** Evaluates until the source ends. Rejects with the signal's reason, BadInput of the data, or a failure. */
export async function evaluateAll(
  evaluation: bigint,
  means: EvaluationMeans,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const fed = await means.source.next(signal);
    if (fed === null) break;
    const value = await evaluateOne(evaluation, fed, means.engine, signal);
    await means.report({ case: "evaluatedMicrobatch", value });
  }
  await means.report({
    case: "evaluationDone",
    value: create(EvaluationDoneSchema, { evaluation }),
  });
}

async function evaluateOne(
  evaluation: bigint,
  { microbatch, batch }: FedMicrobatch,
  engine: Engine,
  signal: AbortSignal,
): Promise<EvaluatedMicrobatch> {
  const { logits, columns, lossSum, weight } = await abortable(engine.evaluate(batch), signal);
  // Padding rows are computed too; only the samples' rows are anybody's business.
  const real = logits.slice(0, batch.samples * columns);
  return create(EvaluatedMicrobatchSchema, {
    evaluation,
    microbatch,
    lossSum,
    weight,
    logits: new Uint8Array(real.buffer, real.byteOffset, real.byteLength),
    columns,
  });
}
