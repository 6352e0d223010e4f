/** Wrong flags, variables and job files, as the program itself answers them. */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { presentGpus } from "../../foundation/host/graphics-cards.ts";
import { checkRows, type BadInputRow } from "./check-rows.ts";

const job = ["--model", "model", "--train-file", "train.tsv"];

function file(name: string, content: string | Uint8Array): (folder: string) => Promise<void> {
  return (folder) => writeFile(join(folder, name), content);
}

const workers: readonly BadInputRow[] = ["0", "-1", "1e9", "two"].map((found) => ({
  name: `--workers ${found}`,
  args: ["--workers", found],
  says: ["--workers: expected a whole number from 1 to 1024", `found ${found}`],
}));

checkRows("flags", [
  ...workers,
  {
    name: "a learning rate that is no number",
    args: [...job, "--learning-rate", "NaN"],
    says: ["--learning-rate: expected a number above 0", "found NaN"],
  },
  {
    name: "a global batch that is no multiple of the microbatch",
    args: [...job, "--train-batch-size", "30"],
    says: ["--train-batch-size: expected a multiple of the microbatch, 8", "found 30", "24 or 32"],
  },
  {
    name: "accumulation steps that contradict the global batch",
    args: [...job, "--workers", "2", "--gradient-accumulation-steps", "4"],
    says: ["--gradient-accumulation-steps: expected 2", "found 4"],
  },
  {
    name: "lengths that do not ascend",
    args: [...job, "--bucket-lengths", "64", "32"],
    says: ["--bucket-lengths: expected ascending whole numbers of tokens", '["64","32"]'],
  },
  {
    name: "a validation file and a split",
    args: [...job, "--validation-file", "dev.tsv", "--validation-split", "0.1"],
    says: ["--validation-split: expected a validation file or a split, found both"],
  },
  {
    name: "bfloat16 without recorded graphs",
    args: [...job, "--bf16", "--eager"],
    says: ["--bf16: expected recorded graphs with it", "found --eager"],
  },
  {
    name: "fewer workers at most than at the start",
    args: [...job, "--workers", "3", "--max-workers", "2"],
    says: ["--max-workers: expected at least 3, as many as --workers, found 2"],
  },
  {
    name: "workers that may join later, without a secret of theirs",
    args: [...job, "--max-workers", "2"],
    says: ["expected a secret of at least 16 characters when workers may join later, found none"],
  },
  {
    name: "16-bit floats on a CPU",
    args: [...job, "--fp16"],
    says: ["--fp16: expected --device gpu with it, found cpu", "--force-fp16"],
  },
  {
    name: "16-bit floats of two kinds",
    args: [...job, "--fp16", "--bf16"],
    says: ["--fp16: expected one of --bf16 and --fp16, found both"],
  },
  {
    name: "gradient checkpointing without recorded graphs",
    args: [...job, "--gradient-checkpointing", "--eager"],
    says: ["--gradient-checkpointing: expected recorded graphs with it", "found --eager"],
  },
  {
    name: "shared-out optimiser state on a GPU",
    args: [...job, "--zero-stage", "1", "--device", "gpu"],
    says: ["--zero-stage: expected --device cpu with it", "found gpu"],
  },
  {
    name: "a stage that there is not",
    args: [...job, "--zero-stage", "2"],
    says: ["--zero-stage: expected 0 or 1", "found 2"],
  },
  ...(presentGpus().length > 0
    ? []
    : [
        {
          name: "a GPU where there is none",
          args: [...job, "--device", "gpu"],
          says: [
            "--device: expected cpu, or gpu on a machine with NVIDIA's driver",
            "/dev/nvidia0",
          ],
        },
      ]),
  {
    name: "an unknown flag",
    args: [...job, "--lerning-rate", "1"],
    says: ["found --lerning-rate (did you mean --learning-rate?)"],
  },
  { name: "an unknown command", args: ["tain"], says: ["found tain (did you mean train?)"] },
  {
    name: "a field of TrainingArguments that is refused",
    args: [...job, "--report_to", "wandb"],
    says: ["--report-to", "found wandb", "instead: /metrics"],
  },
  { name: "no model", args: ["--train-file", "train.tsv"], says: ["--model: expected"] },
  { name: "no data", args: ["--model", "model"], says: ["--train-file: expected training data"] },
  {
    name: "a wrong variable",
    args: job,
    env: { RINGMASTER_LEARNING_RATE: "fast" },
    says: ["RINGMASTER_LEARNING_RATE: expected a number", "found fast"],
  },
  {
    name: "waiting for workers without a secret",
    args: [...job, "--no-spawn-workers"],
    says: ["--join-token: expected a secret", "RINGMASTER_JOIN_TOKEN"],
  },
]);

checkRows("job files", [
  { name: "a job file that is not there", args: ["job.yaml"], says: ["job.yaml", "no such file"] },
  {
    name: "an empty job file",
    args: ["job.yaml"],
    prepare: file("job.yaml", ""),
    says: ["job.yaml: expected keys and values", "an empty file"],
  },
  {
    name: "a __proto__ key",
    args: ["job.json"],
    prepare: file("job.json", '{"model": "m",\n "__proto__": {"workers": 2}}'),
    says: ["job.json, line 2", "found __proto__"],
  },
  {
    name: "an unknown key",
    args: ["job.yaml"],
    prepare: file("job.yaml", "model: m\nnum_train_epoch: 3\n"),
    says: ["job.yaml, line 2", "did you mean num-train-epochs?"],
  },
  {
    name: "broken YAML",
    args: ["job.yaml"],
    prepare: file("job.yaml", "model: m\nfreeze: [a, b\n"),
    says: [/job\.yaml, line [23]: expected valid YAML or JSON/],
  },
  {
    name: "broken UTF-8",
    args: ["job.yaml"],
    prepare: file("job.yaml", Uint8Array.of(0x6d, 0x3a, 0x20, 0xff, 0xfe)),
    says: ["job.yaml: expected UTF-8"],
  },
]);

checkRows("output folders and checkpoints", [
  {
    name: "an output folder that holds something",
    args: [...job, "--output-dir", "out"],
    prepare: async (folder) => {
      await mkdir(join(folder, "out"));
      await writeFile(join(folder, "out", "model.safetensors"), "precious");
    },
    says: ["--output-dir, out: expected a new or empty folder", "--overwrite-output-dir"],
  },
  {
    name: "an output folder that is a file",
    args: [...job, "--output-dir", "out"],
    prepare: file("out", "text"),
    says: ["--output-dir, out: expected a folder, found a file"],
  },
  {
    name: "an output folder below a file",
    args: [...job, "--output-dir", "file/out"],
    prepare: file("file", "text"),
    says: ["--output-dir, file/out: expected a folder"],
  },
  ...(process.getuid?.() === 0
    ? []
    : [
        {
          name: "an output folder without the right to write",
          args: [...job, "--output-dir", "closed/out"],
          prepare: async (folder: string) => {
            await mkdir(join(folder, "closed"));
            await chmod(join(folder, "closed"), 0o555);
          },
          says: ["--output-dir, closed/out: expected a folder that can be written"],
        },
      ]),
  {
    name: "an output folder on a file system that takes no files",
    args: [...job, "--output-dir", "/proc/out"],
    says: ["--output-dir, /proc/out: expected a folder that can be written"],
  },
  {
    name: "a checkpoint that is not there",
    args: ["--resume-from-checkpoint", "checkpoint-8"],
    says: ["--resume-from-checkpoint, checkpoint-8", "no such folder"],
  },
  {
    name: "no last checkpoint",
    args: ["--resume-from-checkpoint", "last"],
    says: ["--resume-from-checkpoint, runs: expected a checkpoint", "found none"],
  },
  {
    name: "a checkpoint without its settings",
    args: ["--resume-from-checkpoint", "checkpoint-8"],
    prepare: (folder) => mkdir(join(folder, "checkpoint-8")),
    says: ["job.yaml", "no such file"],
  },
]);

checkRows("other commands", [
  {
    name: "a verb that there is not",
    args: ["control", "pasue"],
    says: ["found pasue (did you mean pause?)"],
  },
  {
    name: "a learning rate that is none",
    args: ["control", "set-learning-rate", "low"],
    says: ["expected a learning rate from 0 to 1", "found low"],
  },
  {
    name: "no run to steer",
    args: ["control", "stop"],
    says: ["--output-dir: expected the output folder of a run that goes on"],
  },
  { name: "runs of a folder that is not there", args: ["runs", "nowhere"], says: ["nowhere"] },
  { name: "a format that there is not", args: ["runs", "--format", "xml"], says: ["--format"] },
]);
