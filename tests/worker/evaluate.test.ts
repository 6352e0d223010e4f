/**
 * Goal: an evaluation reports each microbatch as soon as it is computed, in order, keeps the engine busy meanwhile, and fails at once
 * where the engine fails, though more records may come. Fakes of the engine, the input and the session, as timing is what is tested.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  EvaluateSchema,
  ReadMicrobatchesResponseSchema,
  type ReadMicrobatchesResponse,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { EvaluationResult } from "../../worker/engine/engine.ts";
import { evaluateSplit } from "../../worker/evaluate.ts";
import { anyBatch } from "../support/any-batch.ts";
import type { Report } from "../../worker/session/session.ts";

const result: EvaluationResult = {
  logits: Float32Array.of(1, 2),
  columns: 2,
  lossSum: 1,
  weight: 1,
};

interface Computing {
  resolve(result: EvaluationResult): void;
  reject(error: Error): void;
}

/** An evaluation under way: its computations are finished, and its reports taken, by hand. */
function stage(records: () => AsyncGenerator<ReadMicrobatchesResponse>) {
  const computing: Computing[] = [];
  const reports: string[] = [];
  let takeReports = (): void => undefined;
  const taking = new Promise<void>((resolve) => (takeReports = resolve));
  const over = evaluateSplit(
    create(EvaluateSchema, { evaluation: 1n, split: "validation" }),
    {
      job: {
        engine: {
          evaluate: () =>
            new Promise<EvaluationResult>((resolve, reject) => {
              computing.push({ resolve, reject });
            }),
        },
        input: { collate: () => Promise.resolve(anyBatch) },
        evalMicrobatchSize: 1,
      },
      session: {
        readMicrobatches: records,
        report: async (report: Report) => {
          reports.push(
            report.case === "evaluatedMicrobatch"
              ? `microbatch ${report.value.microbatch}`
              : (report.case ?? ""),
          );
          await taking;
        },
      },
      generation: 1n,
    },
    new AbortController().signal,
  );
  over.catch(() => undefined);
  return { computing, reports, takeReports: () => takeReports(), over };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn();
}

async function* listed(count: number): AsyncGenerator<ReadMicrobatchesResponse> {
  for (let microbatch = 0; microbatch < count; microbatch++) {
    yield create(ReadMicrobatchesResponseSchema, { microbatch });
  }
}

/** One record, and then none for as long as anybody waits. */
async function* slow(): AsyncGenerator<ReadMicrobatchesResponse> {
  yield* listed(1);
  await new Promise(() => undefined);
}

describe("an evaluation", () => {
  it("has the engine compute the next microbatch while one is reported, and no more than that", async () => {
    const { computing, reports, takeReports, over } = stage(() => listed(4));
    await settle();
    assert.equal(computing.length, 2);
    computing[1]!.resolve(result);
    await settle();
    assert.deepEqual(reports, [], "the second waits for the first");
    computing[0]!.resolve(result);
    await settle();
    assert.deepEqual(reports, ["microbatch 0"]);
    takeReports();
    await settle();
    assert.deepEqual(reports, ["microbatch 0", "microbatch 1"]);
    assert.equal(computing.length, 4);
    for (const each of computing) each.resolve(result);
    await over;
    assert.deepEqual(reports.slice(2), ["microbatch 2", "microbatch 3", "evaluationDone"]);
  });

  it("reports what is computed though the next record is long in coming", async () => {
    const { computing, reports } = stage(slow);
    await settle();
    computing[0]!.resolve(result);
    await settle();
    assert.deepEqual(reports, ["microbatch 0"]);
  });

  it("fails with what the engine fails of, though the next record is long in coming", async () => {
    const { computing, over } = stage(slow);
    await settle();
    computing[0]!.reject(new Error("no memory"));
    await assert.rejects(over, /no memory/);
  });
});
