/** The commands beside `train`, and their flags. */
import { Argument, type Command } from "commander";
import { controlVerbs } from "../proto/subjects.ts";
import type { Invocation } from "./options.ts";

type Done = (invocation: Invocation) => void;

function givenTo(command: Command): Readonly<Record<string, unknown>> {
  const names = command.options.map(
    (option) => [option.long?.slice(2) ?? "", option.attributeName()] as const,
  );
  return Object.fromEntries(
    names
      .filter(([, attribute]) => command.getOptionValueSource(attribute) === "cli")
      .map(([name, attribute]) => [name, command.getOptionValue(attribute) as unknown]),
  );
}

function finish(command: Command, done: Done): void {
  command.action(() => {
    done({ command: command.name(), operands: command.args, flags: givenTo(command) });
  });
}

function addComputeFlags(command: Command): Command {
  return command
    .option("--workers <count>", "worker processes (default: one a core for long files, else 1)")
    .option("--batch-size <samples>", "samples that a worker computes at a time (default: 32)")
    .option("--max-length <tokens>", "longest sequence (default: the model's limit)")
    .option(
      "--threads-per-worker <count>",
      "threads that compute in each worker (default: the cores, shared out)",
    )
    .option("--device <cpu|gpu>", "what the workers compute on (default: cpu)")
    .option("--bf16", "multiply matrices in bfloat16, on processors made for it")
    .option("--force-bf16", "--bf16 on any processor")
    .option("--fp16", "multiply matrices in 16-bit floats, on GPUs")
    .option("--force-fp16", "--fp16 on CPUs too");
}

function addColumnFlags(command: Command): Command {
  return command
    .option("--text-column <name>", "column of the text (default: guessed, and said)")
    .option("--text-pair-column <name>", "column of the second text of a pair")
    .option("--label-column <name>", "column of the label");
}

function addPredict(program: Command, done: Done): void {
  const predict = program
    .command("predict [text...]")
    .description(
      "Label, score and logits of texts, of files of any training format, or of standard input (a text a line).",
    )
    .requiredOption("--model <folder|id>", "a fine-tuned model")
    .option("--text-pair <text>", "second text of the pair (with one text)")
    .option("--file <path...>", "files instead of texts")
    .option(
      "--format <text|jsonl>",
      "a table for people, or one JSON object a line (default: text)",
    );
  finish(addColumnFlags(addComputeFlags(predict)), done);
}

function addEval(program: Command, done: Done): void {
  const evaluate = program
    .command("eval [file...]")
    .description("Metrics of a model on labelled files or a dataset.")
    .requiredOption("--model <folder|id>", "a fine-tuned model")
    .option("--dataset <id>", "a hub dataset instead of files")
    .option(
      "--split <name>",
      "split of the dataset: validation, test or train (default: validation)",
    )
    .option("--format <text|jsonl>", "a table for people, or one JSON object (default: text)");
  finish(addColumnFlags(addComputeFlags(evaluate)), done);
}

function addControl(program: Command, done: Done): void {
  const control = program
    .command("control")
    .description("Steers a run that goes on: the command is checked, answered, and acts once.")
    .addArgument(new Argument("<verb>", `one of ${controlVerbs.join(", ")}`))
    .argument("[value]", "the learning rate, for set-learning-rate")
    .option(
      "--output-dir <folder>",
      "output folder of the run (default: the only one under runs/ that goes on)",
    )
    .option("--nats <url>", "NATS server of the run, instead of an output folder")
    .option("--run <name>", "name of the run, with --nats");
  finish(control, done);
}

function addLaunch(program: Command, done: Done): void {
  const launch = program
    .command("launch <job-file>")
    .description("Writes the manifests of a cluster's run of a job file (docs/deployment.md).")
    .option("--kubernetes", "for Kubernetes, as a kustomize folder")
    .option("--output-dir <folder>", "folder for the manifests (default: <name>-kubernetes)")
    .option("--name <name>", "names the run and its objects (default: the job's name)")
    .option("--namespace <name>", "namespace (default: ringmaster)")
    .option("--image <image>", "image made from deploy/Dockerfile (default: ringmaster:0.1.0)")
    .option("--workers <count>", "workers (default: 4)")
    .option("--worker-cores <count>", "cores and threads of a worker (default: 4)")
    .option("--worker-memory <size>", "memory of a worker (default: 8Gi)")
    .option("--coordinator-memory <size>", "memory of the coordinator (default: 2Gi)")
    .option("--output-size <size>", "volume for the results (default: 20Gi)")
    .option("--data-claim <name>", "volume claim with the data, mounted at /data")
    .option("--tls-secret <name>", "Secret with tls.crt, tls.key and ca.crt: mutual TLS")
    .option("--device <cpu|gpu>", "what the workers compute on (default: cpu)");
  finish(launch, done);
}

/** Adds every command but `train`. */
export function addQueryCommands(program: Command, done: Done): void {
  addPredict(program, done);
  addEval(program, done);
  const runs = program
    .command("runs [folder]")
    .description("Lists the runs under a folder (default: runs): state, steps, best metric.")
    .option(
      "--format <text|jsonl>",
      "a table for people, or one JSON object a line (default: text)",
    );
  finish(runs, done);
  const verify = program
    .command("verify <run-a> <run-b>")
    .description(
      "Have two runs trained the same, bit by bit? Compares their output folders step by step and tensor by tensor; exit code 0: equal, 1: different (docs/exactness.md).",
    )
    .option("--format <text|jsonl>", "a table for people, or one JSON object (default: text)");
  finish(verify, done);
  addControl(program, done);
  addLaunch(program, done);
  const device = ["--device <cpu|gpu>", "what the workers compute on (default: cpu)"] as const;
  finish(
    program
      .command("setup")
      .description(
        "Fetches and compiles the native parts into the cache; training does it too when they are missing.",
      )
      .option(...device)
      .option("--quickstart", "fetch the quick start's model and data too"),
    done,
  );
  finish(
    program
      .command("doctor")
      .description("Explains every native part: found or not, version, where, what to do.")
      .option(...device),
    done,
  );
}
