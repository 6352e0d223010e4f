/** Settings of evaluation, output, and of how the run is carried out. */
import { z } from "zod";
import { setting } from "./setting.ts";
import { whenStrategies } from "./settings.ts";

const workersMax = 1024;
const threadsMax = 1024;
const stepsMax = 1_000_000_000;
const interval = z.number().gt(0).max(stepsMax).refine(isInterval);
const intervalExpected = "a whole number of steps, or a share of all steps below 1";
const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/)
  .refine(hasValidPort);
const path = z.string().min(1).max(4096);

function isInterval(steps: number): boolean {
  return steps < 1 || Number.isInteger(steps);
}

function hasValidPort(hostAndPort: string): boolean {
  return Number(hostAndPort.slice(hostAndPort.lastIndexOf(":") + 1)) <= 65_535;
}

/** When to evaluate, and what the best model is. */
export const evaluationSettings = {
  evalStrategy: setting(z.enum(whenStrategies).default("epoch"), {
    group: "Evaluation and best model",
    form: "text",
    placeholder: "when",
    help: "no, steps or epoch",
    expected: "no, steps or epoch",
    onResume: "free",
    aliases: ["evaluation-strategy"],
  }),
  evalSteps: setting(interval.nullable().default(null), {
    group: "Evaluation and best model",
    form: "number",
    placeholder: "steps",
    help: "steps between evaluations with --eval-strategy steps",
    expected: intervalExpected,
    onResume: "free",
    defaultText: "--logging-steps",
  }),
  loadBestModelAtEnd: setting(z.boolean().default(false), {
    group: "Evaluation and best model",
    form: "boolean",
    placeholder: "",
    help: "write the best evaluated checkpoint as the final model",
    expected: "true or false",
    onResume: "free",
  }),
  metricForBestModel: setting(z.string().min(1).max(64).default("loss"), {
    group: "Evaluation and best model",
    form: "text",
    placeholder: "name",
    help: "loss, accuracy, f1, …, with or without `eval_`",
    expected: "the name of a metric",
    onResume: "free",
  }),
  greaterIsBetter: setting(z.boolean().nullable().default(null), {
    group: "Evaluation and best model",
    form: "boolean",
    placeholder: "",
    help: "whether a greater metric is a better one",
    expected: "true or false",
    onResume: "free",
    defaultText: "true unless the metric's name ends in loss, mse or error",
  }),
  earlyStoppingPatience: setting(z.number().int().min(1).max(stepsMax).nullable().default(null), {
    group: "Evaluation and best model",
    form: "number",
    placeholder: "count",
    help: "evaluations without a better metric after which training stops",
    expected: "a whole number from 1",
    onResume: "free",
    defaultText: "off",
  }),
  earlyStoppingThreshold: setting(z.number().min(0).max(1e9).default(0), {
    group: "Evaluation and best model",
    form: "number",
    placeholder: "number",
    help: "how much better counts as better",
    expected: "a number from 0",
    onResume: "free",
  }),
} as const;

/** Where the results go, and when. */
export const outputSettings = {
  outputDir: setting(path.nullable().default(null), {
    group: "Output and checkpoints",
    form: "text",
    placeholder: "folder",
    help: "where model, checkpoints and history go",
    expected: "a folder",
    onResume: "free",
    defaultText: "runs/<job>-<UTC time>",
  }),
  overwriteOutputDir: setting(z.boolean().default(false), {
    group: "Output and checkpoints",
    form: "boolean",
    placeholder: "",
    help: "replace what is in the output folder",
    expected: "true or false",
    onResume: "free",
  }),
  runName: setting(
    z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/)
      .nullable()
      .default(null),
    {
      group: "Output and checkpoints",
      form: "text",
      placeholder: "name",
      help: "names the run in metrics, subjects and lists",
      expected: "up to 64 letters, digits, `-` and `_`",
      onResume: "free",
      defaultText: "the output folder's name",
    },
  ),
  saveStrategy: setting(z.enum(whenStrategies).default("epoch"), {
    group: "Output and checkpoints",
    form: "text",
    placeholder: "when",
    help: "no, steps or epoch; the final model is written in any case",
    expected: "no, steps or epoch",
    onResume: "free",
  }),
  saveSteps: setting(interval.default(500), {
    group: "Output and checkpoints",
    form: "number",
    placeholder: "steps",
    help: "steps between checkpoints with --save-strategy steps",
    expected: intervalExpected,
    onResume: "free",
  }),
  saveTotalLimit: setting(z.number().int().min(1).max(stepsMax).nullable().default(null), {
    group: "Output and checkpoints",
    form: "number",
    placeholder: "count",
    help: "checkpoints to keep; the best one is always among them",
    expected: "a whole number from 1",
    onResume: "free",
    defaultText: "all",
  }),
  resumeFromCheckpoint: setting(path.nullable().default(null), {
    group: "Output and checkpoints",
    form: "text",
    placeholder: "folder|last",
    help: "go on from a checkpoint folder, or from the last one of the output folder",
    expected: "a checkpoint folder or `last`",
    onResume: "free",
  }),
  loggingSteps: setting(interval.default(10), {
    group: "Output and checkpoints",
    form: "number",
    placeholder: "steps",
    help: "steps between entries of the log history",
    expected: intervalExpected,
    onResume: "free",
  }),
} as const;

/** How the run is carried out; none of it changes what is trained but `eager`, `bf16` and `device`, to rounding. */
export const launchSettings = {
  workers: setting(z.number().int().min(1).max(workersMax).default(1), {
    group: "Workers and services",
    form: "number",
    placeholder: "count",
    help: "worker processes; never changes what is trained",
    expected: `a whole number from 1 to ${workersMax}`,
    onResume: "free",
  }),
  spawnWorkers: setting(z.boolean().default(true), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "start the workers here; --no-spawn-workers waits for as many to join from elsewhere",
    expected: "true or false",
    onResume: "free",
  }),
  threadsPerWorker: setting(z.number().int().min(1).max(threadsMax).nullable().default(null), {
    group: "Workers and services",
    form: "number",
    placeholder: "count",
    help: "threads that compute in each worker",
    expected: `a whole number from 1 to ${threadsMax}`,
    onResume: "free",
    defaultText: "the cores, shared out",
  }),
  verifyEvery: setting(z.number().int().min(1).max(stepsMax).nullable().default(null), {
    group: "Workers and services",
    form: "number",
    placeholder: "steps",
    help: "compare the weights of all workers every so many steps; a worker with a flipped bit is named, and the run stops",
    expected: "a whole number of steps from 1",
    onResume: "free",
    defaultText: "at checkpoints only",
  }),
  allowMixedHardware: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "take workers whose processors compute other gradients: the result then depends on who computed what",
    expected: "true or false",
    onResume: "said",
  }),
  device: setting(z.enum(["cpu", "gpu"]).default("cpu"), {
    group: "Workers and services",
    form: "text",
    placeholder: "cpu|gpu",
    help: "what the workers compute on",
    expected: "cpu or gpu",
    onResume: "said",
  }),
  eager: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "run without recorded graphs: slow, for debugging",
    expected: "true or false",
    onResume: "said",
  }),
  bf16: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "multiply matrices in bfloat16, adding up in float32; weights and all else stay float32",
    expected: "true or false",
    onResume: "fixed",
  }),
  forceBf16: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "--bf16 also on processors without bfloat16 instructions, where it is very slow",
    expected: "true or false",
    onResume: "free",
  }),
  listen: setting(address.nullable().default(null), {
    group: "Workers and services",
    form: "text",
    placeholder: "host:port",
    help: "where workers reach the coordinator; port 0 takes a free one",
    expected: "host:port, such as 0.0.0.0:7077",
    onResume: "free",
    defaultText: "127.0.0.1:0, or 0.0.0.0:7077 when waiting for workers",
  }),
  metricsListen: setting(address.default("127.0.0.1:0"), {
    group: "Workers and services",
    form: "text",
    placeholder: "host:port",
    help: "where /metrics, /healthz and /readyz are served; port 0 takes a free one",
    expected: "host:port, such as 127.0.0.1:9464",
    onResume: "free",
  }),
  nats: setting(
    z
      .string()
      .regex(/^(nats|tls):\/\/[^\s]+$/)
      .nullable()
      .default(null),
    {
      group: "Workers and services",
      form: "text",
      placeholder: "url",
      help: "use this NATS server",
      expected: "a URL such as nats://host:4222",
      onResume: "free",
      defaultText: "one of our own is started",
    },
  ),
  joinToken: setting(z.string().min(16).max(1024).nullable().default(null), {
    group: "Workers and services",
    form: "text",
    placeholder: "secret",
    help: "secret that workers prove to know; better given as RINGMASTER_JOIN_TOKEN",
    expected: "at least 16 characters",
    onResume: "free",
    defaultText: "random when workers are started here",
    secret: true,
  }),
} as const;
