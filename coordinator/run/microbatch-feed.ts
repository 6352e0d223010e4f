/**
 * Records on their way to one worker: which microbatches are its own, read from the dataset a little ahead of what the
 * stream takes. Nothing is read before it is asked for, bar the one read that hides the disk behind the sending.
 */
import { create } from "@bufbuild/protobuf";
import {
  ReadMicrobatchesResponseSchema,
  SampleRecordSchema,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type {
  ReadMicrobatchesResponse,
  SampleRecord,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { sampleCharactersMax } from "../../proto/limits.ts";
import { dealMicrobatches } from "../data/deal.ts";
import type { EvaluationPlan } from "../data/sampler.ts";
import type { DataRecord, Dataset } from "../data/dataset.ts";
import type { TrainingPlan } from "./training-plan.ts";

/** A worker's seat, as far as dealing goes. */
export interface Seat {
  readonly rank: number;
  readonly worldSize: number;
}

/** The training microbatches dealt to a rank, from a step to the last one. */
export async function* trainingFeed(
  plan: TrainingPlan,
  dataset: Dataset,
  from: Seat & { readonly step: number },
  signal: AbortSignal,
): AsyncGenerator<ReadMicrobatchesResponse> {
  const readStep = async (step: number): Promise<readonly ReadMicrobatchesResponse[]> => {
    const microbatches = plan.microbatches(step);
    const own = dealMicrobatches(microbatches.length, from.worldSize)[from.rank] ?? [];
    const indices = own.flatMap((microbatch) => microbatches[microbatch] ?? []);
    const records = await readInOrder(dataset, indices, signal);
    const samples = microbatches.reduce((sum, microbatch) => sum + microbatch.length, 0);
    let next = 0;
    return own.map((microbatch) => {
      const size = microbatches[microbatch]?.length ?? 0;
      const taken = records.slice(next, next + size);
      next += size;
      return create(ReadMicrobatchesResponseSchema, {
        step: BigInt(step),
        microbatch,
        samples: taken.map(sampleOf),
        globalWeight: samples,
        epoch: plan.epochOf(step),
      });
    });
  };
  yield* oneAhead(from.step, plan.totalSteps, readStep);
}

/** The microbatches of an evaluation dealt to a rank. */
export async function* evaluationFeed(
  plan: EvaluationPlan,
  dataset: Dataset,
  seat: Seat,
  signal: AbortSignal,
): AsyncGenerator<ReadMicrobatchesResponse> {
  const own = dealMicrobatches(plan.microbatchCount, seat.worldSize)[seat.rank] ?? [];
  const read = async (turn: number): Promise<readonly ReadMicrobatchesResponse[]> => {
    const microbatch = own[turn];
    if (microbatch === undefined) return [];
    const records = await readInOrder(dataset, plan.microbatch(microbatch), signal);
    return [evaluationMicrobatch(microbatch, records)];
  };
  yield* oneAhead(0, own.length - 1, read);
}

/** One microbatch outside training. */
export function evaluationMicrobatch(
  microbatch: number,
  records: readonly DataRecord[],
): ReadMicrobatchesResponse {
  return create(ReadMicrobatchesResponseSchema, {
    microbatch,
    samples: records.map(sampleOf),
    globalWeight: records.length,
  });
}

/** Yields the pieces of `from` to `last`, reading each while the one before is being taken. */
async function* oneAhead<Piece>(
  from: number,
  last: number,
  read: (index: number) => Promise<readonly Piece[]>,
): AsyncGenerator<Piece> {
  let ahead = from <= last ? read(from) : null;
  for (let index = from; ahead !== null; index++) {
    const pieces = await ahead;
    ahead = index < last ? read(index + 1) : null;
    // Its failure is told when its turn comes, or never when nobody asks for it.
    ahead?.catch(() => undefined);
    yield* pieces;
  }
}

async function readInOrder(
  dataset: Dataset,
  indices: readonly number[],
  signal: AbortSignal,
): Promise<readonly DataRecord[]> {
  const records = await dataset.read(indices, signal);
  for (const [place, index] of indices.entries()) {
    if (records[place]?.index !== index) {
      throw new Error(`Cannot deal sample ${index}: the dataset gave ${records[place]?.index}`);
    }
  }
  return records;
}

/** A record as it is sent. */
export function sampleOf(record: DataRecord): SampleRecord {
  const { text, textPair, label, target, targets } = record;
  return create(SampleRecordSchema, {
    index: BigInt(record.index),
    text: text.slice(0, sampleCharactersMax),
    ...(textPair === undefined ? {} : { textPair: textPair.slice(0, sampleCharactersMax) }),
    ...(label === undefined ? {} : { label }),
    ...(target === undefined ? {} : { target }),
    ...(targets === undefined ? {} : { targets: [...targets] }),
  });
}
