/**
 * The checkpoints of a run and its final model, from the state of a worker to the files on disk.
 */
import { stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import {
  jsonText,
  readWeights,
  writeCheckpoint,
  writeModelFiles,
  type ResumePoint,
} from "../checkpoint/checkpoint-folder.ts";
import { checkpointName, rotateCheckpoints } from "../checkpoint/rotation.ts";
import { replaceFile } from "../checkpoint/write-aside.ts";
import { freeState, type TrainingState } from "../server/state-stream.ts";
import type { RateChange } from "./learning-rate.ts";
import type { Progress } from "./progress.ts";

/** What checkpoints are made of. */
export interface CheckpointMeans {
  readonly outputDir: string;
  readonly model: LoadedModel;
  readonly table: ParameterTable;
  /** `job.yaml`. */
  readonly job: string;
  readonly progress: Progress;
  readonly rateChanges: () => readonly RateChange[];
  /** Checkpoints that stay; null keeps all. */
  readonly limit: number | null;
  readonly keepsBest: boolean;
  readonly nowMs: () => number;
}

/** What a checkpoint says of the run, as it stands when its state is asked for: the run goes on while the state comes in. */
export interface CheckpointDraft {
  readonly step: number;
  readonly resume: ResumePoint;
  readonly trainerState: unknown;
  /** Step of the best checkpoint then; null for none, or where it is not kept. */
  readonly best: number | null;
}

/** Writes them. */
export class Checkpoints {
  readonly #means: CheckpointMeans;
  /** Steps whose checkpoints this run has written, or started from; a folder of an earlier run does not count. */
  readonly #written = new Set<number>();
  readonly #from: { readonly folder: string; readonly step: number } | null;
  #last: string | null;

  /** @param from the checkpoint that the run goes on from, or null */
  constructor(
    means: CheckpointMeans,
    from: { readonly folder: string; readonly step: number } | null,
  ) {
    this.#means = means;
    this.#from = from;
    this.#last = from?.folder ?? null;
    if (from !== null && resolve(from.folder) === resolve(this.folderOf(from.step))) {
      this.#written.add(from.step);
    }
  }

  /** Folder of the newest checkpoint; null when there is none. */
  get last(): string | null {
    return this.#last;
  }

  /** Folder of the checkpoint of a step. */
  folderOf(step: number): string {
    return join(this.#means.outputDir, checkpointName(step));
  }

  /** Whether the checkpoint of a step is that of this run. */
  has(step: number): boolean {
    return this.#written.has(step);
  }

  /** Folder of the best evaluation's checkpoint; null when there is none on disk. */
  async bestOnDisk(): Promise<string | null> {
    const folder = this.#bestFolder();
    if (folder === null) return null;
    const entry = await stat(join(folder, "model.safetensors")).catch(() => null);
    return entry === null ? null : folder;
  }

  /** What the checkpoint of the last committed step says of the run. */
  draft(): CheckpointDraft {
    const { progress, rateChanges, nowMs } = this.#means;
    const { step } = progress;
    return {
      step,
      resume: progress.resumePoint(rateChanges(), nowMs()),
      trainerState: progress.trainerState(this.#savedBest(step)),
      best: this.#bestStep(),
    };
  }

  /**
   * Writes the checkpoint of a state and frees that, then removes those that the limit leaves no room for.
   * @param signal leaves nothing of it, if it is not whole yet
   */
  async write(
    state: TrainingState,
    { resume, trainerState, best }: CheckpointDraft,
    signal: AbortSignal,
  ): Promise<string> {
    const { model, table, job, outputDir, limit } = this.#means;
    const folder = this.folderOf(state.step);
    const content = { model, table, state, job, resume, trainerState };
    await writeCheckpoint(folder, content, signal).finally(() => freeState(state));
    this.#last = folder;
    this.#written.add(state.step);
    await rotateCheckpoints(outputDir, limit, best);
    return folder;
  }

  /** Writes the model of a state into the output folder. */
  async writeModel(parameters: Float32Array): Promise<void> {
    const { model, outputDir } = this.#means;
    await writeModelFiles(outputDir, { ...model, state: parameters });
  }

  /** The weights of a checkpoint. */
  weightsOf(folder: string): Promise<Float32Array> {
    return readWeights(folder, this.#means.table);
  }

  /** Writes `trainer_state.json` into the output folder. */
  async writeTrainerState(): Promise<void> {
    const { progress, outputDir } = this.#means;
    const content = jsonText(progress.trainerState(this.#savedBest(null)));
    await replaceFile(join(outputDir, "trainer_state.json"), content);
  }

  #bestStep(): number | null {
    return this.#means.keepsBest ? (this.#means.progress.standing.best?.step ?? null) : null;
  }

  /** Where the best evaluation's checkpoint belongs: beside the one that the run goes on from, if it is older. */
  #bestFolder(): string | null {
    const step = this.#means.progress.standing.best?.step;
    if (step === undefined) return null;
    const isOlder = this.#from !== null && step <= this.#from.step;
    return isOlder ? join(dirname(this.#from.folder), checkpointName(step)) : this.folderOf(step);
  }

  /** The same as HF names it: only what is saved, or is being saved now. */
  #savedBest(now: number | null): string | null {
    const step = this.#means.progress.standing.best?.step ?? -1;
    const isSaved = this.#written.has(step) || step === now || step <= (this.#from?.step ?? -1);
    return isSaved ? this.#bestFolder() : null;
  }
}
