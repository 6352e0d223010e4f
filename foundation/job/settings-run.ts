/** Settings of evaluation and output. */
import { z } from "zod";
import { setting } from "./setting.ts";
import { whenStrategies } from "./settings.ts";

const stepsMax = 1_000_000_000;
const interval = z.number().gt(0).max(stepsMax).refine(isInterval);
const intervalExpected = "a whole number of steps, or a share of all steps below 1";
const path = z.string().min(1).max(4096);

function isInterval(steps: number): boolean {
  return steps < 1 || Number.isInteger(steps);
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
