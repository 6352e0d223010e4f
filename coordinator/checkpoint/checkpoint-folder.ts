/**
 * A checkpoint on disk: a model that `transformers` loads, and beside it all that a run needs to go on from there.
 *
 * | file | holds |
 * |---|---|
 * | `model.safetensors`, `config.json`, tokenizer files | the model |
 * | `optimizer.safetensors` | AdamW's moments, `exp_avg.<tensor>` and `exp_avg_sq.<tensor>` |
 * | `table.json` | the parameter table |
 * | `trainer_state.json` | history and best metric by Hugging Face's keys |
 * | `resume.json` | the place in the data, accepted commands, what early stopping knows |
 * | `job.yaml` | all effective settings |
 */
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { BadInput } from "../../foundation/bad-input.ts";
import { openSafetensors, writeSafetensors } from "../../foundation/model-files/safetensors.ts";
import type { NamedTensor, SafetensorsReader } from "../../foundation/model-files/safetensors.ts";
import { writeModel } from "../../foundation/model-files/write-model.ts";
import type { WritableModel } from "../../foundation/model-files/write-model.ts";
import { serializeTable } from "../../foundation/parameters/table.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { lossScaleSchema } from "../run/loss-scale.ts";
import type { TrainingState } from "../server/state-stream.ts";
import { replaceFilesIn, replaceFolder, writeSynced } from "./write-aside.ts";

const count = z.number().int().nonnegative();
const score = z.object({ step: count, value: z.number() });

const resumeSchema = z.object({
  /** Version of this file's form. */
  version: z.literal(1),
  run: z.string(),
  /** Updates that made the state. */
  step: count,
  totalSteps: count,
  /** Samples of the training data; another number means other data. */
  trainSize: count,
  stepsPerEpoch: count,
  /** Batch of its epoch (both from 0) that the next step takes. */
  sampler: z.object({ epoch: count, batch: count, seed: z.number() }),
  tableVersion: z.string(),
  /** Accepted `set-learning-rate` commands. */
  rateChanges: z.array(score),
  /** Deciding metric of each evaluation so far. */
  scores: z.array(score),
  standing: z.object({ best: score.nullable(), unimproved: count }),
  logHistory: z.array(z.record(z.string(), z.number())),
  /** Losses since the last log line, and of the whole training. */
  losses: z.object({
    sinceLog: z.object({ sum: z.number(), count }),
    all: z.object({ sum: z.number(), count }),
  }),
  samples: count,
  seconds: z.number(),
  /** Of half precision; null for other precisions. */
  lossScale: lossScaleSchema.nullable().default(null),
});

/** What a resumed run needs beside weights and moments. */
export type ResumePoint = z.infer<typeof resumeSchema>;

/** A checkpoint as it is written. */
export interface CheckpointContent {
  readonly model: Omit<WritableModel, "state">;
  readonly table: ParameterTable;
  readonly state: TrainingState;
  readonly resume: ResumePoint;
  /** `trainer_state.json` as an object. */
  readonly trainerState: unknown;
  /** `job.yaml`. */
  readonly job: string;
}

const files = {
  optimizer: "optimizer.safetensors",
  table: "table.json",
  trainerState: "trainer_state.json",
  resume: "resume.json",
  job: "job.yaml",
} as const;

/** Writes a checkpoint folder, all or nothing. Rejects with the signal's reason, if that comes first. */
export function writeCheckpoint(
  folder: string,
  content: CheckpointContent,
  signal: AbortSignal,
): Promise<void> {
  return replaceFolder(folder, async (partial) => {
    const { model, state, table } = content;
    await writeModel(partial, { ...model, state: state.parameters });
    signal.throwIfAborted();
    if (state.moments !== null) {
      const tensors = momentTensors(table, state.moments);
      await writeSafetensors(join(partial, files.optimizer), tensors, { step: String(state.step) });
    }
    await writeSynced(join(partial, files.table), serializeTable(table));
    await writeSynced(join(partial, files.trainerState), jsonText(content.trainerState));
    await writeSynced(join(partial, files.resume), jsonText(content.resume));
    await writeSynced(join(partial, files.job), content.job);
    signal.throwIfAborted();
  });
}

/** Writes a model's files into an output folder beside what is there, each replaced at once. */
export function writeModelFiles(folder: string, model: WritableModel): Promise<void> {
  return replaceFilesIn(folder, async (partial) => {
    await writeModel(partial, model);
    // The weights come last: who sees them sees their config and tokenizer too.
    return [...model.tokenizerFiles.keys(), "config.json", "model.safetensors"];
  });
}

/** JSON as files hold it. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

const firstPrefix = "exp_avg.";
const secondPrefix = "exp_avg_sq.";

function momentTensors(
  table: ParameterTable,
  moments: NonNullable<TrainingState["moments"]>,
): readonly NamedTensor[] {
  const section = (prefix: string, values: Float32Array): readonly NamedTensor[] =>
    table.entries.flatMap(({ name, shape, size, trainableOffset: offset }) =>
      offset === null
        ? []
        : [{ name: `${prefix}${name}`, shape, values: values.subarray(offset, offset + size) }],
    );
  return [...section(firstPrefix, moments.first), ...section(secondPrefix, moments.second)];
}

/** Reads what a run goes on from. Throws BadInput that names the file for a folder that is no whole checkpoint. */
export async function readResumePoint(folder: string): Promise<ResumePoint> {
  const file = join(folder, files.resume);
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) {
    throw new BadInput({
      flag: "--resume-from-checkpoint",
      file,
      expected: "a checkpoint folder of this program",
      found: "no such file",
    });
  }
  const parsed = resumeSchema.safeParse(jsonOrNull(text));
  if (parsed.success) return parsed.data;
  const problem = parsed.error.issues[0];
  throw new BadInput({
    file,
    column: problem?.path.join(".") ?? "",
    expected: "the place from which a run goes on",
    found: problem?.message ?? text,
  });
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Reads a checkpoint's weights and moments into the table's layout. Throws BadInput for a tensor that is missing, of
 * another shape, or in a damaged file.
 */
export async function readState(
  folder: string,
  table: ParameterTable,
  step: number,
): Promise<TrainingState> {
  const parameters = await readWeights(folder, table);
  const first = new Float32Array(table.trainableSize);
  const second = new Float32Array(table.trainableSize);
  await readInto(join(folder, files.optimizer), async (read) => {
    for (const { name, size, trainableOffset: offset } of table.entries) {
      if (offset === null) continue;
      await read(`${firstPrefix}${name}`, first.subarray(offset, offset + size));
      await read(`${secondPrefix}${name}`, second.subarray(offset, offset + size));
    }
  });
  return { step, parameters, moments: { first, second } };
}

/** Reads a checkpoint's weights only. */
export async function readWeights(folder: string, table: ParameterTable): Promise<Float32Array> {
  const parameters = new Float32Array(table.stateSize);
  await readInto(join(folder, "model.safetensors"), async (read) => {
    for (const { name, offset, size } of table.entries) {
      await read(name, parameters.subarray(offset, offset + size));
    }
  });
  return parameters;
}

async function readInto(
  file: string,
  fill: (read: (name: string, target: Float32Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const reader = await openNamed(file);
  try {
    await fill(async (name, target) => {
      const stored = reader.tensors.get(name);
      const size = stored?.shape.reduce((product, dimension) => product * dimension, 1);
      if (size !== target.length) {
        throw new BadInput({
          file,
          expected: `tensor ${name} of ${target.length} values`,
          found: size === undefined ? "none" : `${size} values`,
        });
      }
      await reader.read(name, target);
    });
  } finally {
    await reader.close();
  }
}

async function openNamed(file: string): Promise<SafetensorsReader> {
  try {
    return await openSafetensors(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new BadInput({
      flag: "--resume-from-checkpoint",
      file: join(basename(dirname(file)), basename(file)),
      expected: "a checkpoint with this file",
      found: "no such file",
    });
  }
}
