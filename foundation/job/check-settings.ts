/** Checks settings against each other: what no single bound can say. */
import { BadInput } from "../bad-input.ts";
import { traitsOf } from "../device.ts";
import { checkSchedule } from "./check-schedule.ts";
import type { Place } from "./job-layers.ts";
import type { FlatSettings, SettingKey } from "./settings-schema.ts";
import type { JobSettings, LaunchSettings } from "./settings.ts";

/** What is checked, and where each value was given. */
export interface Checked {
  readonly settings: JobSettings;
  readonly launch: LaunchSettings;
  readonly flat: FlatSettings;
  readonly placeOf: (key: SettingKey) => Place;
}

function checkBatches({ settings, launch, flat, placeOf }: Checked): void {
  const { trainBatchSize: batch, perDeviceTrainBatchSize: microbatch } = settings;
  if (batch % microbatch !== 0) {
    const below = Math.floor(batch / microbatch) * microbatch;
    const near = [below, below + microbatch].filter((size) => size > 0).join(" or ");
    throw new BadInput({
      ...placeOf("trainBatchSize"),
      expected: `a multiple of the microbatch, ${microbatch} (--per-device-train-batch-size)`,
      found: String(batch),
      remedy: `such as ${near}`,
    });
  }
  const turns = flat.gradientAccumulationSteps;
  const needed = Math.ceil(batch / microbatch / launch.workers);
  if (turns !== null && turns !== needed) {
    throw new BadInput({
      ...placeOf("gradientAccumulationSteps"),
      expected: `${needed}, as a global batch of ${batch} is ${batch / microbatch} microbatches of ${microbatch} on ${launch.workers} ${launch.workers === 1 ? "worker" : "workers"}`,
      found: String(turns),
      remedy: `leave it out, or --train-batch-size ${turns * microbatch * launch.workers}`,
    });
  }
}

function checkData({ settings, placeOf }: Checked): void {
  const { data } = settings;
  if (data.dataset === null && data.trainFiles.length === 0) {
    throw new BadInput({
      ...placeOf("trainFile"),
      expected: "training data: --train-file FILE or --dataset ID",
      found: "none",
    });
  }
  if (data.validationSplit > 0 && data.validationFiles.length > 0) {
    throw new BadInput({
      ...placeOf("validationSplit"),
      expected: "a validation file or a split",
      found: "both",
    });
  }
}

function checkBestModel({ settings, placeOf }: Checked): void {
  const { evalStrategy, saveStrategy, evalSteps, saveSteps } = settings;
  const needsEvaluation = [
    ["loadBestModelAtEnd", settings.loadBestModelAtEnd],
    ["earlyStoppingPatience", settings.earlyStoppingPatience !== null],
    ["lrSchedulerType", settings.lrSchedulerType === "reduce_lr_on_plateau"],
  ] as const;
  for (const [key, needed] of needsEvaluation) {
    if (needed && evalStrategy === "no") {
      throw new BadInput({
        ...placeOf(key),
        expected: "--eval-strategy steps or epoch with it",
        found: "no",
      });
    }
  }
  if (!settings.loadBestModelAtEnd) return;
  if (saveStrategy !== evalStrategy) {
    throw new BadInput({
      ...placeOf("loadBestModelAtEnd"),
      expected: "the same --save-strategy and --eval-strategy",
      found: `${saveStrategy} and ${evalStrategy}`,
    });
  }
  const whole = evalSteps >= 1 && saveSteps >= 1;
  if (saveStrategy === "steps" && whole && saveSteps % evalSteps !== 0) {
    throw new BadInput({
      ...placeOf("saveSteps"),
      expected: `a multiple of --eval-steps ${evalSteps} with --load-best-model-at-end`,
      found: String(saveSteps),
    });
  }
}

function checkLaunch({ launch, placeOf }: Checked): void {
  const { workers, maxWorkers, joinToken } = launch;
  if (maxWorkers !== null && maxWorkers < workers) {
    throw new BadInput({
      ...placeOf("maxWorkers"),
      expected: `at least ${workers}, as many as --workers`,
      found: String(maxWorkers),
    });
  }
  if (maxWorkers !== null && maxWorkers > workers && joinToken === null) {
    throw new BadInput({
      ...placeOf("joinToken"),
      expected: "a secret of at least 16 characters when workers may join later",
      found: "none",
      remedy: "set RINGMASTER_JOIN_TOKEN here and for the workers",
    });
  }
  if (!launch.spawnWorkers && launch.joinToken === null) {
    throw new BadInput({
      ...placeOf("joinToken"),
      expected: "a secret of at least 16 characters when workers join from elsewhere",
      found: "none",
      remedy: "set RINGMASTER_JOIN_TOKEN here and for the workers",
    });
  }
}

function checkPrecision({ settings, placeOf }: Checked): void {
  if (settings.bf16 && settings.fp16) {
    throw new BadInput({
      ...placeOf("fp16"),
      expected: "one of --bf16 and --fp16",
      found: "both",
    });
  }
  if ((settings.bf16 || settings.fp16) && settings.eager) {
    throw new BadInput({
      ...placeOf(settings.bf16 ? "bf16" : "fp16"),
      expected: "recorded graphs with it: eager runs compute in float32",
      found: "--eager",
    });
  }
  if (settings.gradientCheckpointing && settings.eager) {
    throw new BadInput({
      ...placeOf("gradientCheckpointing"),
      expected: "recorded graphs with it: eager runs keep all that they compute",
      found: "--eager",
    });
  }
}

function checkZeroStage({ settings, placeOf }: Checked): void {
  if (settings.zeroStage === 0 || traitsOf(settings.device).hasKernels) return;
  throw new BadInput({
    ...placeOf("zeroStage"),
    expected: "--device cpu with it: the update of a share is a kernel for CPUs",
    found: settings.device,
  });
}

/** Throws BadInput at the first contradiction. */
export function checkSettings(checked: Checked): void {
  checkBatches(checked);
  checkData(checked);
  checkBestModel(checked);
  checkSchedule(checked.settings, checked.placeOf("lrSchedulerKwargs"));
  checkPrecision(checked);
  checkZeroStage(checked);
  checkLaunch(checked);
}
