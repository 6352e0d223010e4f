/**
 * One evaluation over the fleet: every sample once, whatever the number of workers. Results are summed in microbatch
 * order, so that the figures are the same bits for any fleet.
 */
import { create } from "@bufbuild/protobuf";
import { EvaluateSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type {
  EvaluatedMicrobatch,
  ReadMicrobatchesRequest,
  ReadMicrobatchesResponse,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { createMetricTally } from "../../foundation/metrics/metric-tally.ts";
import type { MetricTally } from "../../foundation/metrics/metric-tally.ts";
import type { ProblemType } from "../../foundation/families/family.ts";
import { planEvaluation } from "../data/sampler.ts";
import type { EvaluationPlan } from "../data/sampler.ts";
import type { DataRecord, Dataset } from "../data/dataset.ts";
import type { Fleet } from "./fleet.ts";
import { evaluationFeed } from "./microbatch-feed.ts";
import type { Seat } from "./microbatch-feed.ts";

/** What an evaluation found. */
export interface EvaluationResult {
  /** `loss` and the problem's metrics. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly samples: number;
  readonly microbatches: number;
}

/** How the data is judged. */
export interface EvaluationSettings {
  readonly problemType: ProblemType;
  readonly labelCount: number;
  readonly microbatchSize: number;
  /** Sorts samples of like length together, which computes less padding. */
  readonly groupByLength: boolean;
}

interface Running {
  readonly evaluation: bigint;
  readonly plan: EvaluationPlan;
  readonly dataset: Dataset;
}

/** Runs evaluations, one at a time, and serves their records. */
export class Evaluator {
  readonly #settings: EvaluationSettings;
  #count = 0n;
  #running: Running | null = null;

  constructor(settings: EvaluationSettings) {
    this.#settings = settings;
  }

  /** The microbatches of the running evaluation dealt to a seat. */
  feed(
    request: ReadMicrobatchesRequest,
    seat: Seat,
    signal: AbortSignal,
  ): AsyncIterable<ReadMicrobatchesResponse> {
    const running = this.#running;
    if (running === null || running.evaluation !== request.evaluation) {
      throw new RangeError(`evaluation ${request.evaluation} is not running`);
    }
    return evaluationFeed(running.plan, running.dataset, seat, signal);
  }

  /** Evaluates a dataset. @param onProgress told how many microbatches of all are done */
  async evaluate(
    fleet: Fleet,
    task: {
      readonly split: string;
      readonly dataset: Dataset;
      readonly onProgress: (done: number, of: number) => void;
    },
    signal: AbortSignal,
  ): Promise<EvaluationResult> {
    const { dataset, split } = task;
    const { microbatchSize, groupByLength } = this.#settings;
    const plan = planEvaluation({
      size: dataset.size,
      microbatchSize,
      ...(groupByLength ? { lengthOf: (index) => dataset.lengthOf(index) } : {}),
    });
    const evaluation = ++this.#count;
    this.#running = { evaluation, plan, dataset };
    try {
      const { microbatchCount } = plan;
      const value = create(EvaluateSchema, { evaluation, split, microbatchCount });
      fleet.broadcast({ case: "evaluate", value });
      const results = await this.#collect(fleet, this.#running, task.onProgress, signal);
      return await this.#judge(results, this.#running, signal);
    } finally {
      this.#running = null;
    }
  }

  async #collect(
    fleet: Fleet,
    { evaluation, plan }: Running,
    onProgress: (done: number, of: number) => void,
    signal: AbortSignal,
  ): Promise<readonly EvaluatedMicrobatch[]> {
    const results = new Map<number, EvaluatedMicrobatch>();
    await fleet.collect((report) => {
      if (report.case === "evaluatedMicrobatch" && report.value.evaluation === evaluation) {
        results.set(report.value.microbatch, report.value);
        onProgress(results.size, plan.microbatchCount);
      }
      const isDone = report.case === "evaluationDone" && report.value.evaluation === evaluation;
      return isDone ? true : undefined;
    }, signal);
    return Array.from({ length: plan.microbatchCount }, (_, microbatch) => {
      const result = results.get(microbatch);
      if (result !== undefined) return result;
      throw new Error(`Cannot evaluate as no worker reported microbatch ${microbatch}`);
    });
  }

  async #judge(
    results: readonly EvaluatedMicrobatch[],
    { plan, dataset }: Running,
    signal: AbortSignal,
  ): Promise<EvaluationResult> {
    const tally = createMetricTally(this.#settings.problemType, this.#settings.labelCount);
    let lossSum = 0;
    let weight = 0;
    let samples = 0;
    for (const [microbatch, result] of results.entries()) {
      const records = await dataset.read(plan.microbatch(microbatch), signal);
      addRows(tally, result, records);
      lossSum += result.lossSum;
      weight += result.weight;
      samples += records.length;
    }
    const loss = weight === 0 ? {} : { loss: lossSum / weight };
    return { metrics: { ...loss, ...tally.metrics() }, samples, microbatches: results.length };
  }
}

/** Values of the logits of one microbatch. */
export function logitsOf(result: EvaluatedMicrobatch): Float32Array {
  // A copy: the received bytes need not be aligned.
  const bytes = Uint8Array.from(result.logits);
  return new Float32Array(bytes.buffer, 0, bytes.byteLength / Float32Array.BYTES_PER_ELEMENT);
}

function addRows(
  tally: MetricTally,
  result: EvaluatedMicrobatch,
  records: readonly DataRecord[],
): void {
  const logits = logitsOf(result);
  const { columns } = result;
  if (logits.length !== records.length * columns) {
    throw new Error(
      `Cannot evaluate as microbatch ${result.microbatch} has ${logits.length} logits for ${records.length} samples`,
    );
  }
  for (const [row, record] of records.entries()) {
    const { label, target, targets } = record;
    tally.add({
      logits: logits.subarray(row * columns, (row + 1) * columns),
      ...(label === undefined ? {} : { label }),
      ...(target === undefined ? {} : { target }),
      ...(targets === undefined ? {} : { targets }),
    });
  }
}
