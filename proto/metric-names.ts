/**
 * Every metric that Ringmaster exports: name, kind, labels, help. Names carry base units (`_seconds`, `_bytes`), counters
 * end in `_total`. The dashboard and alert rules under `deploy/` are written against this table, and tested against it.
 *
 * The coordinator's page carries all of them: what a worker measures comes to it with each StepReduced report, under the
 * worker's name. A worker's own page carries those marked `worker`. A query that may see both pages therefore takes
 * `max by (run, worker, …)` first, so that nothing counts twice.
 */

/** What one metric is. */
export interface MetricDefinition {
  readonly name: `ringmaster_${string}`;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Labels beside `run`, which every metric of both pages has. */
  readonly labels: readonly string[];
  /** Whether a worker's own page has it too (there the page names the worker once for all). */
  readonly worker?: true;
}

/** Phases of a step, the values of the label `phase`. */
export const stepPhases = ["data", "compute", "exchange", "update"] as const;

/** One of `stepPhases`. */
export type StepPhase = (typeof stepPhases)[number];

/** Bounds of duration histograms in seconds, from 1 ms to 60 s. */
export const durationBuckets: readonly number[] = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60,
];

/** All metrics by a short key. */
export const metrics = {
  stepDuration: {
    name: "ringmaster_step_duration_seconds",
    kind: "histogram",
    help: "Time that a worker spent in one phase of a step; exchange counts what compute did not hide.",
    labels: ["worker", "phase"],
    worker: true,
  },
  samples: {
    name: "ringmaster_samples_total",
    kind: "counter",
    help: "Training samples computed.",
    labels: ["worker"],
    worker: true,
  },
  tokens: {
    name: "ringmaster_tokens_total",
    kind: "counter",
    help: "Real tokens computed, padding not counted.",
    labels: ["worker"],
    worker: true,
  },
  paddedTokens: {
    name: "ringmaster_padded_tokens_total",
    kind: "counter",
    help: "Tokens computed, padding counted.",
    labels: ["worker"],
    worker: true,
  },
  truncatedSamples: {
    name: "ringmaster_truncated_samples_total",
    kind: "counter",
    help: "Training samples that were cut at the maximum length.",
    labels: ["worker"],
    worker: true,
  },
  exchangeBytes: {
    name: "ringmaster_exchange_bytes_total",
    kind: "counter",
    help: "Bytes exchanged with the ring's neighbours.",
    labels: ["worker", "direction", "transport"],
    worker: true,
  },
  workerResidentMemory: {
    name: "ringmaster_worker_resident_memory_bytes",
    kind: "gauge",
    help: "Resident memory of a worker process.",
    labels: ["worker"],
    worker: true,
  },
  workerLastReport: {
    name: "ringmaster_worker_last_report_timestamp_seconds",
    kind: "gauge",
    help: "When the coordinator last heard of a worker, as Unix time.",
    labels: ["worker"],
  },
  workerRestarts: {
    name: "ringmaster_worker_restarts_total",
    kind: "counter",
    help: "Joins of a worker after its first one.",
    labels: ["worker"],
  },
  trainLoss: {
    name: "ringmaster_train_loss",
    kind: "gauge",
    help: "Mean loss of the last committed global batch.",
    labels: [],
  },
  learningRate: {
    name: "ringmaster_learning_rate",
    kind: "gauge",
    help: "Learning rate of the last committed step.",
    labels: [],
  },
  gradNorm: {
    name: "ringmaster_grad_norm",
    kind: "gauge",
    help: "Global norm of the last averaged gradient before clipping.",
    labels: [],
  },
  lossScale: {
    name: "ringmaster_loss_scale",
    kind: "gauge",
    help: "Factor of the loss of the next step; 1 without --fp16.",
    labels: [],
  },
  epoch: {
    name: "ringmaster_epoch",
    kind: "gauge",
    help: "Epochs done, as a fraction.",
    labels: [],
  },
  step: {
    name: "ringmaster_step",
    kind: "gauge",
    help: "Last committed step.",
    labels: [],
  },
  totalSteps: {
    name: "ringmaster_planned_steps",
    kind: "gauge",
    help: "Steps that the run's plan has.",
    labels: [],
  },
  stepInterval: {
    name: "ringmaster_step_interval_seconds",
    kind: "histogram",
    help: "Time between the commits of two steps.",
    labels: [],
  },
  stepsCommitted: {
    name: "ringmaster_steps_committed_total",
    kind: "counter",
    help: "Steps committed by this coordinator.",
    labels: [],
  },
  stepsRedone: {
    name: "ringmaster_steps_redone_total",
    kind: "counter",
    help: "Attempts at steps beyond the first.",
    labels: [],
  },
  stepsSkipped: {
    name: "ringmaster_steps_skipped_total",
    kind: "counter",
    help: "Steps that went by without an update: with --fp16 their gradient was too large for the loss scale.",
    labels: [],
  },
  worldSize: {
    name: "ringmaster_world_size",
    kind: "gauge",
    help: "Workers in the ring.",
    labels: [],
  },
  generation: {
    name: "ringmaster_generation",
    kind: "gauge",
    help: "Generation of the ring.",
    labels: [],
  },
  evalMetric: {
    name: "ringmaster_eval_metric",
    kind: "gauge",
    help: "Value of a metric at the last evaluation.",
    labels: ["metric", "split"],
  },
  checkpointLastSuccess: {
    name: "ringmaster_checkpoint_last_success_timestamp_seconds",
    kind: "gauge",
    help: "When the last checkpoint was on disk, as Unix time.",
    labels: [],
  },
  natsConnected: {
    name: "ringmaster_nats_connected",
    kind: "gauge",
    help: "1 while the coordinator is connected to NATS, otherwise 0.",
    labels: [],
  },
  eventsWaiting: {
    name: "ringmaster_events_waiting",
    kind: "gauge",
    help: "Events kept until NATS takes them.",
    labels: [],
  },
  eventsDropped: {
    name: "ringmaster_events_dropped_total",
    kind: "counter",
    help: "Events that NATS never got because the queue was full; events.jsonl has them.",
    labels: [],
  },
  commands: {
    name: "ringmaster_commands_total",
    kind: "counter",
    help: "Control commands answered.",
    labels: ["verb", "outcome"],
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
