/** What bench:epoch trains on both sides: parts of MRPC, each standing for an epoch. */
import { join } from "node:path";
import { dataLines, writePart, type MrpcFiles } from "./mrpc-files.ts";

/** Rows of a training batch, and of an evaluation's. */
export const epochBatches = { train: 8, evaluation: 32 } as const;

/** Tokens at which our side cuts, and the Trainer where it is not the article's code. */
const lengthMax = 128;

/** The same of a model that may not read so many. */
export function epochLength({ longest }: Pick<EpochJob, "longest">): number {
  return Math.min(lengthMax, longest);
}

/** Time of a whole epoch, and of what of it grows with the data. */
export interface EpochTime {
  readonly startMs: number;
  readonly workMs: number;
}

/** The data and the model of both sides. */
export interface EpochJob {
  readonly folder: string;
  readonly model: string;
  readonly files: MrpcFiles;
  /** Parts that the data is cut into. */
  readonly parts: number;
  readonly longest: number;
  readonly isShort: boolean;
}

/** Writes a part of both splits; gives the files and by how much its work is less than an epoch's. */
export function cut(
  job: EpochJob,
  part: number,
  finer: number,
): MrpcFiles & { readonly scale: number } {
  const files = { train: join(job.folder, "train.tsv"), test: join(job.folder, "test.tsv") };
  const place = { part, parts: job.parts * finer };
  const rows = writePart(job.files.train, files.train, place);
  writePart(job.files.test, files.test, place);
  return { ...files, scale: dataLines(job.files.train).length / rows };
}
