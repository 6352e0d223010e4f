/**
 * `run.json` in the output folder: what a run is and where it can be reached. It stays when the run is over; whether its
 * process is alive tells whether it goes on.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { jsonText } from "../checkpoint/checkpoint-folder.ts";
import { replaceFile } from "../checkpoint/write-aside.ts";

/** A run as others find it. */
export interface RunFile {
  readonly run: string;
  /** Process id of the coordinator. */
  readonly processId: number;
  /** RFC 3339. */
  readonly startedAt: string;
  /** host:port at which workers join. */
  readonly coordinatorAddress: string;
  /** URL of the metrics page. */
  readonly metricsUrl: string;
  readonly workers: number;
}

/** Writes the file, and with it what tells the process from a later one of the same id. */
export async function writeRunFile(outputDir: string, content: RunFile): Promise<void> {
  const processStart = await processStartOf(content.processId);
  await replaceFile(join(outputDir, "run.json"), jsonText({ ...content, processStart }));
}

const processSchema = z.object({
  processId: z.number().int().positive(),
  processStart: z.string().default(""),
});

/** The process id of the coordinator that a folder's `run.json` names, or null when that process is gone. */
export async function livingCoordinator(outputDir: string): Promise<number | null> {
  try {
    const text = await readFile(join(outputDir, "run.json"), "utf8");
    const { processId, processStart } = processSchema.parse(JSON.parse(text));
    process.kill(processId, 0);
    const isAnother = processStart !== "" && processStart !== (await processStartOf(processId));
    return isAnother ? null : processId;
  } catch {
    return null;
  }
}

/** Position of the start time in `/proc/<id>/stat`, behind the name in parentheses. */
const startTimeField = 19;

/** When a process was started, in ticks since this boot of the machine; empty where there is no `/proc`. */
async function processStartOf(processId: number): Promise<string> {
  try {
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    const stat = await readFile(`/proc/${processId}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return `${boot} ${fields[startTimeField] ?? ""}`;
  } catch {
    return "";
  }
}
