/** What `coordinator train` says before it starts. Pure. */
import type { Plan } from "../../foundation/job/plan.ts";
import type { JobSettings, LaunchSettings } from "../../foundation/job/settings.ts";
import { describeBytes } from "../../foundation/native/progress.ts";

/** A count for people: `22.7 M`, `12,345`. */
export function describeCount(count: number): string {
  if (count >= 999_950) return `${(count / 1e6).toFixed(count < 1e8 ? 1 : 0)} M`;
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

function plural(count: number, noun: string): string {
  return `${describeCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `global batch 32 = 4 microbatches of 8 on 4 workers`, and who idles when there are fewer microbatches than workers. */
export function describeDeal(settings: JobSettings, workers: number): string {
  const { trainBatchSize, perDeviceTrainBatchSize: microbatch } = settings;
  const count = trainBatchSize / microbatch;
  const deal = `global batch ${trainBatchSize} = ${plural(count, "microbatch").replace("batchs", "batches")} of ${microbatch} on ${plural(workers, "worker")}`;
  if (count >= workers) return deal;
  return `${deal}; ${plural(workers - count, "worker")} will have nothing to compute`;
}

function describeData({ data }: JobSettings): string {
  if (data.dataset === "quickstart") return "SpamAssassin's e-mails, spam or ham";
  if (data.dataset !== null) return data.dataset;
  const validation =
    data.validationFiles.length === 0 ? "" : `, validation ${data.validationFiles.join(", ")}`;
  return `${data.trainFiles.join(", ")}${validation}`;
}

function describeModel({ model, modelRevision }: JobSettings): string {
  if (model === "quickstart") return "MiniLM-L6 (BERT architecture, 22.7 M parameters)";
  return modelRevision === "main" ? model : `${model}, revision ${modelRevision}`;
}

function describeDevice({ device, bf16, fp16 }: JobSettings, cores: number): string {
  const processor = device === "cpu" ? `cpu, ${plural(cores, "core")}` : device;
  if (fp16) return `${processor}, matrix products in 16-bit floats`;
  return bf16 ? `${processor}, matrix products in bfloat16` : processor;
}

/** What the start lines are made of. */
export interface StartInput {
  readonly settings: JobSettings;
  readonly launch: LaunchSettings;
  readonly isQuickstart: boolean;
  readonly cores: number;
}

function line(name: string, text: string): string {
  return `  ${name.padEnd(8)} ${text}`;
}

/** The lines that open a run. */
export function describeStart({ settings, launch, isQuickstart, cores }: StartInput): string[] {
  const { workers, spawnWorkers } = launch;
  const crowded =
    spawnWorkers && workers > cores ? `, more than the ${plural(cores, "core")} here` : "";
  const where = spawnWorkers ? `started here${crowded}` : `expected to join at ${launch.listen}`;
  const job = isQuickstart
    ? "the built-in quick start (deploy/jobs/quickstart.yaml)"
    : settings.job;
  const own = isQuickstart
    ? [
        line(
          "",
          "your own: coordinator --model bert-base-uncased --train-file train.csv --validation-file dev.csv",
        ),
      ]
    : [];
  const resumed = settings.resumeFromCheckpoint;
  return [
    resumed === null ? "Fine-tuning a model:" : "Going on with a run:",
    line("job", job),
    ...own,
    line("model", describeModel(settings)),
    line("data", describeData(settings)),
    line("device", describeDevice(settings, cores)),
    line("workers", `${workers}, ${where}`),
    line("batches", describeDeal(settings, workers)),
    line("output", settings.outputDir),
    ...(resumed === null ? [] : [line("resume", `from ${resumed}`)]),
  ];
}

/** What is known once model and data are open. */
export interface OpenedInput {
  readonly plan: Plan;
  readonly validationSize: number | null;
  readonly maxLength: number;
}

/** The lines about samples, parameters and steps; what the data says of its labels is a note of its own. */
export function describeOpened({ plan, validationSize, maxLength }: OpenedInput): string[] {
  const held =
    validationSize === null ? "none to evaluate" : `${describeCount(validationSize)} to evaluate`;
  const trained = plan.trainedParameters;
  const frozen = trained === plan.parameters ? "" : `, ${describeCount(trained)} of them trained`;
  return [
    line("samples", `${describeCount(plan.trainSize)} to train on, ${held}`),
    line(
      "weights",
      `${describeCount(plan.parameters)} parameters${frozen}; sequences up to ${maxLength} tokens`,
    ),
    line("steps", describeSteps(plan)),
  ];
}

function describeSteps(plan: Plan): string {
  const warmup = plan.warmupSteps === 0 ? "" : `, ${describeCount(plan.warmupSteps)} of warm-up`;
  return `${describeCount(plan.totalSteps)} in all, ${describeCount(plan.stepsPerEpoch)} an epoch${warmup}`;
}

/** What `--dry-run` prints beside that: memory and bytes. */
export function describePlan(plan: Plan, workers: number): string[] {
  const { weights, optimizer, gradients, activations, copies, runtime } = plan.memoryPerWorker;
  const known = weights + optimizer + gradients + copies + runtime;
  const estimate =
    activations === null ? "" : `, activations about ${describeBytes(activations)} at the longest`;
  const shared =
    plan.weightBytesPerStep === 0
      ? ""
      : `, and ${describeBytes(plan.weightBytesPerStep)} of weights: 4·P·(N−1)/N`;
  return [
    line(
      "exchange",
      `at most ${describeBytes(plan.exchangeBytesPerStep)} sent by each of ${plural(workers, "worker")} a step: ${plan.isScattered ? "" : "2·"}K·(N−1)/N${shared}`,
    ),
    line(
      "memory",
      `about ${describeBytes(known + (activations ?? 0))} a worker at its peak: weights ${describeBytes(weights)}, optimiser ${describeBytes(optimizer)}, gradients ${describeBytes(gradients)}${estimate}, copies of the state ${describeBytes(copies)}, TensorFlow and Node ${describeBytes(runtime)}`,
    ),
  ];
}
