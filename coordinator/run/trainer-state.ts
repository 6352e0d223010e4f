/**
 * `trainer_state.json` with the keys of Hugging Face's TrainerState, so that tools made for it read ours. Pure.
 */
import type { JobSettings } from "../../foundation/job/settings.ts";
import type { Standing } from "./best-model.ts";

/** One line of `log_history`: numbers by HF's keys, always with `step` and `epoch`. */
export type LogEntry = Readonly<Record<string, number>>;

/** What the state is made of. */
export interface TrainerProgress {
  readonly settings: JobSettings;
  readonly step: number;
  readonly totalSteps: number;
  /** Epochs done, as a fraction. */
  readonly epoch: number;
  readonly standing: Standing;
  readonly logHistory: readonly LogEntry[];
  /** Folder of the best checkpoint, or null. */
  readonly bestCheckpoint: string | null;
}

/** The file's content as an object. */
export function trainerState(progress: TrainerProgress): Readonly<Record<string, unknown>> {
  const { settings, standing } = progress;
  return {
    best_global_step: standing.best?.step ?? null,
    best_metric: standing.best?.value ?? null,
    best_model_checkpoint: progress.bestCheckpoint,
    epoch: progress.epoch,
    eval_steps: settings.evalSteps,
    global_step: progress.step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: progress.logHistory,
    logging_steps: settings.loggingSteps,
    max_steps: progress.totalSteps,
    num_input_tokens_seen: 0,
    num_train_epochs: settings.numTrainEpochs,
    save_steps: settings.saveSteps,
    stateful_callbacks: {},
    total_flos: 0,
    train_batch_size: settings.trainBatchSize,
    trial_name: null,
    trial_params: null,
  };
}

/** The log line of committed steps: the mean loss since the last line, the rate and norm of the newest. */
export function trainingEntry(values: {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
}): LogEntry {
  return {
    epoch: values.epoch,
    grad_norm: values.gradNorm,
    learning_rate: values.learningRate,
    loss: values.loss,
    step: values.step,
  };
}

/** The log line of an evaluation: every metric under `eval_`. */
export function evaluationEntry(values: {
  readonly step: number;
  readonly epoch: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly samples: number;
  readonly microbatches: number;
  readonly seconds: number;
}): LogEntry {
  const named = Object.entries(values.metrics).map(([name, value]) => [`eval_${name}`, value]);
  return {
    epoch: values.epoch,
    ...(Object.fromEntries(named) as Record<string, number>),
    eval_runtime: values.seconds,
    eval_samples_per_second: values.samples / Math.max(values.seconds, Number.EPSILON),
    eval_steps_per_second: values.microbatches / Math.max(values.seconds, Number.EPSILON),
    step: values.step,
  };
}

/** The last log line: what the whole training came to. */
export function summaryEntry(values: {
  readonly step: number;
  readonly epoch: number;
  readonly meanLoss: number;
  readonly samples: number;
  readonly steps: number;
  readonly seconds: number;
}): LogEntry {
  const seconds = Math.max(values.seconds, Number.EPSILON);
  return {
    epoch: values.epoch,
    step: values.step,
    total_flos: 0,
    train_loss: values.meanLoss,
    train_runtime: values.seconds,
    train_samples_per_second: values.samples / seconds,
    train_steps_per_second: values.steps / seconds,
  };
}
