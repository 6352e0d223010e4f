/** An evaluation or prediction: forward over the microbatches that the coordinator deals, each reported by itself. */
import { create } from "@bufbuild/protobuf";
import {
  EvaluatedMicrobatchSchema,
  EvaluationDoneSchema,
  type Evaluate,
  type EvaluatedMicrobatch,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { Engine } from "./engine/engine.ts";
import { abortable } from "../foundation/abortable.ts";
import { Feed, type FedMicrobatch } from "./input/feed.ts";
import type { Collating } from "./input/input-thread.ts";
import type { Report, Session } from "./session/session.ts";

/** What an evaluation works with. */
export interface EvaluationMeans {
  readonly job: {
    readonly engine: Pick<Engine, "evaluate">;
    readonly input: Collating;
    readonly evalMicrobatchSize: number;
  };
  readonly session: Pick<Session, "readMicrobatches" | "report">;
  /** Of the dealing. */
  readonly generation: bigint;
}

/** Microbatches that are held ready. */
const evaluationAhead = 4;

/** Evaluates until the source ends. Rejects with the signal's reason, BadInput of the data, or a failure. */
export async function evaluateSplit(
  evaluate: Evaluate,
  { job, session, generation }: EvaluationMeans,
  signal: AbortSignal,
): Promise<void> {
  const { evaluation, split } = evaluate;
  const source = new Feed({
    source: (over) =>
      session.readMicrobatches({ generation, split, fromStep: 0n, evaluation }, over),
    collating: job.input,
    microbatchSize: job.evalMicrobatchSize,
    ahead: evaluationAhead,
  });
  try {
    const means = {
      engine: job.engine,
      source,
      report: (report: Report) => session.report(report),
    };
    await evaluateAll(evaluation, means, signal);
  } finally {
    source.close();
  }
}

async function evaluateAll(
  evaluation: bigint,
  means: {
    readonly engine: Pick<Engine, "evaluate">;
    readonly source: Feed;
    readonly report: (report: Report) => Promise<void>;
  },
  signal: AbortSignal,
): Promise<void> {
  const failing = new AbortController();
  const either = AbortSignal.any([signal, failing.signal]);
  let reported = Promise.resolve();
  for (;;) {
    const fed = await means.source.next(either);
    if (fed === null) break;
    const before = reported;
    const evaluated = evaluateOne(evaluation, fed, means.engine, signal);
    // Each is reported as soon as it is there, in order, while the engine goes on with the next.
    reported = (async () => {
      const [value] = await Promise.all([evaluated, before]);
      await means.report({ case: "evaluatedMicrobatch", value });
    })();
    reported.catch((error: unknown) => failing.abort(error));
    await before;
  }
  await reported;
  await means.report({
    case: "evaluationDone",
    value: create(EvaluationDoneSchema, { evaluation }),
  });
}

async function evaluateOne(
  evaluation: bigint,
  { microbatch, batch }: FedMicrobatch,
  engine: Pick<Engine, "evaluate">,
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
