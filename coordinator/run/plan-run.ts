/**
 * What a run is to do, worked out before anything is started: steps, table, the state and the commands to go on from.
 */
import { randomBytes } from "node:crypto";
import { basename, dirname, join, resolve } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";
import { freeVectors } from "../../foundation/host/free-vectors.ts";
import { frozenNames } from "../../foundation/job/freeze.ts";
import { parseStepRange } from "../../foundation/job/profile-steps.ts";
import { totalStepsOf, withWholeIntervals } from "../../foundation/job/plan.ts";
import type { JobSettings, LaunchSettings } from "../../foundation/job/settings.ts";
import { writeJob } from "../../foundation/job/write-job.ts";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { readResumePoint, readState } from "../checkpoint/checkpoint-folder.ts";
import type { ResumePoint } from "../checkpoint/checkpoint-folder.ts";
import { prepareOutputFolder } from "../checkpoint/output-folder.ts";
import { replaceFile } from "../checkpoint/write-aside.ts";
import type { Dataset } from "../data/dataset.ts";
import { planEpoch } from "../data/sampler.ts";
import { freeState, type TrainingState } from "../server/state-stream.ts";
import { commandsToReplay } from "./control.ts";
import type { AcceptedCommand } from "./control.ts";
import { readJournal } from "./journal.ts";
import { TrainingPlan } from "./training-plan.ts";

/** What a run is to do, before anything is started. */
export interface RunPlan {
  readonly run: string;
  /** With whole steps where shares were given. */
  readonly settings: JobSettings;
  readonly launch: LaunchSettings;
  readonly model: LoadedModel;
  readonly table: ParameterTable;
  readonly plan: TrainingPlan;
  readonly train: Dataset;
  readonly validation: Dataset | null;
  readonly resumed: ResumePoint | null;
  readonly startState: TrainingState;
  /** Commands of the run that is resumed, for steps still to come. */
  readonly replay: readonly AcceptedCommand[];
  readonly joinToken: string;
  /** `job.yaml`. */
  readonly job: string;
}

/** What `planRun` is given. */
export interface RunInput {
  readonly settings: JobSettings;
  readonly launch: LaunchSettings;
  readonly model: LoadedModel;
  readonly data: { readonly train: Dataset | null; readonly validation: Dataset | null };
}

/** Works out what a run is to do, and reads the checkpoint that it goes on from. Throws BadInput. */
export async function planRun(input: RunInput): Promise<RunPlan> {
  const { launch, model, data } = input;
  const { train } = data;
  if (train === null || train.size === 0) {
    throw new BadInput({ flag: "--train-file", expected: "samples to train on", found: "none" });
  }
  const totalSteps = totalStepsOf(input.settings, train.size);
  const settings = withWholeIntervals(input.settings, totalSteps);
  checkProfileSteps(launch, totalSteps);
  const table = layOutTable(model.specs, frozenNames(settings.freeze, model.specs));
  const { resumeFromCheckpoint: checkpoint } = settings;
  const resumed = checkpoint === null ? null : await readResumePoint(checkpoint);
  if (resumed !== null) checkSameData(resumed, train, checkpoint ?? "");
  return {
    run: settings.runName ?? basename(resolve(settings.outputDir)),
    settings,
    launch,
    model,
    table,
    train,
    validation: data.validation,
    plan: planSteps(settings, train, totalSteps),
    resumed,
    startState:
      checkpoint === null || resumed === null
        ? { step: 0, parameters: model.state, moments: null }
        : await readState(checkpoint, table, resumed.step),
    replay:
      checkpoint === null || resumed === null
        ? []
        : commandsToReplay(
            await readJournal(join(dirname(resolve(checkpoint)), "journal.jsonl")),
            resumed.step,
          ),
    joinToken: launch.joinToken ?? randomBytes(24).toString("base64url"),
    job: writeJob(settings, launch),
  };
}

/** Frees the weights that a run began with, once workers have them: nobody goes back to the start any more. */
export function freeStart({ startState, model }: RunPlan): void {
  freeState(startState);
  freeVectors([model.state]);
}

function checkProfileSteps({ profileSteps }: LaunchSettings, totalSteps: number): void {
  if (profileSteps === null || parseStepRange(profileSteps).first <= totalSteps) return;
  throw new BadInput({
    flag: "--profile-steps",
    expected: `steps from 1 to ${totalSteps}, the run's last`,
    found: profileSteps,
  });
}

function planSteps(settings: JobSettings, train: Dataset, totalSteps: number): TrainingPlan {
  const { seed, trainBatchSize, perDeviceTrainBatchSize: microbatchSize, groupByLength } = settings;
  return new TrainingPlan({
    totalSteps,
    stepsPerEpoch: Math.ceil(train.size / trainBatchSize),
    planEpoch: (epoch) =>
      planEpoch({
        size: train.size,
        seed,
        epoch,
        trainBatchSize,
        microbatchSize,
        ...(groupByLength ? { lengthOf: (index: number) => train.lengthOf(index) } : {}),
      }),
  });
}

function checkSameData(resumed: ResumePoint, train: Dataset, checkpoint: string): void {
  if (resumed.trainSize === train.size) return;
  throw new BadInput({
    flag: "--resume-from-checkpoint",
    file: checkpoint,
    expected: `the data that it was trained on, ${resumed.trainSize} samples`,
    found: `${train.size} samples`,
  });
}

/** Makes the output folder and writes the settings into it. */
export async function openOutput(planned: RunPlan): Promise<void> {
  const { settings, job } = planned;
  const { outputDir, overwriteOutputDir, resumeFromCheckpoint } = settings;
  const goesOnThere =
    resumeFromCheckpoint !== null && dirname(resolve(resumeFromCheckpoint)) === resolve(outputDir);
  await prepareOutputFolder(outputDir, overwriteOutputDir && !goesOnThere);
  await replaceFile(join(outputDir, "job.yaml"), job);
}
