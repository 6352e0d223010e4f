/** Our side of a bench: the real program, run as a user runs it, read by what it writes. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { benchFolder, endWithBench } from "./leftovers.ts";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const program = join(root, "coordinator/bin.mjs");
const outputMax = 200_000;

const eventSchema = z.object({
  type: z.string(),
  time: z.string(),
  data: z.record(z.string(), z.unknown()),
});

/** A started program and its end. */
export interface CoordinatorRun {
  readonly child: ChildProcess;
  /** What it has written last. */
  text(): string;
  /** Its exit code, or null for a signal. */
  readonly ended: Promise<number | null>;
}

/** Starts `coordinator` with these arguments. @param env beside the own environment */
export function startCoordinator(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): CoordinatorRun {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  endWithBench(child);
  let output = "";
  const keep = (bytes: Buffer): void => {
    output = (output + bytes.toString("utf8")).slice(-outputMax);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { child, text: () => output, ended };
}

/** Runs `coordinator` with these arguments; rejects with its output unless it ends with exit code 0. */
export async function runCoordinator(args: readonly string[]): Promise<string> {
  const run = startCoordinator(args);
  const code = await run.ended;
  if (code !== 0) {
    throw new Error(`coordinator ${args.join(" ")} ended with ${code}:\n${run.text()}`);
  }
  return run.text();
}

const predictionSchema = z.object({ label: z.string() });

/** Labels of a file's texts (JSONL, column `text`), by `coordinator predict`, in order. */
export async function predictLabels(model: string, file: string): Promise<readonly string[]> {
  const folder = benchFolder("labels");
  const labels = join(folder, "labels.jsonl");
  const output = openSync(labels, "w");
  const column = ["--text-column", "text"];
  const args = ["predict", "--model", model, "--file", file, ...column, "--format", "jsonl"];
  try {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ["ignore", output, "inherit"],
    });
    endWithBench(child);
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`coordinator ${args.join(" ")} ended with ${code}`);
    return readFileSync(labels, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => predictionSchema.parse(JSON.parse(line)).label);
  } finally {
    closeSync(output);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether `coordinator train` knows a flag. */
export function coordinatorKnows(flag: string): boolean {
  const { stdout } = spawnSync(process.execPath, [program, "--help"], { encoding: "utf8" });
  return new RegExp(`${flag}\\b`, "u").test(stdout);
}

/** An event of a run. */
export interface RunEvent<T> {
  /** When it was written, in milliseconds since 1970. */
  readonly atMs: number;
  readonly data: T;
}

/** A run's events of one kind (the message's name, as `StepCommitted`), in order; none while the file is not there. */
export function eventsOf<T>(
  outputFolder: string,
  kind: string,
  schema: z.ZodType<T>,
): readonly RunEvent<T>[] {
  const file = join(outputFolder, "events.jsonl");
  if (!existsSync(file)) return [];
  // What follows the last line's end is still being written.
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return lines
    .map((line) => eventSchema.parse(JSON.parse(line)))
    .filter((event) => event.type === `ringmaster.v1.${kind}`)
    .map(({ time, data }) => ({ atMs: Date.parse(time), data: schema.parse(data) }));
}

/** The same of a run that is over. Throws where there is none: a bench measures nothing then. */
export function readEvents<T>(
  outputFolder: string,
  kind: string,
  schema: z.ZodType<T>,
): readonly RunEvent<T>[] {
  const events = eventsOf(outputFolder, kind, schema);
  if (events.length === 0) {
    throw new Error(`Cannot measure: ${join(outputFolder, "events.jsonl")} has no ${kind}`);
  }
  return events;
}
