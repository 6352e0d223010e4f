/** Our side of a bench: the real program, run as a user runs it, read by what it writes. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

const eventSchema = z.object({
  type: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
});

/** Runs `coordinator` with these arguments; rejects with its output unless it ends with exit code 0. */
export async function runCoordinator(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [join(root, "coordinator/bin.mjs"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const keep = (bytes: Buffer): void => {
    output = (output + bytes.toString("utf8")).slice(-200_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`coordinator ${args.join(" ")} ended with ${code}:\n${output}`);
  return output;
}

/** The data of a run's events of one kind, in order, from `events.jsonl`. */
export function readEvents<T>(
  outputFolder: string,
  kind: string,
  schema: z.ZodType<T>,
): readonly T[] {
  return readFileSync(join(outputFolder, "events.jsonl"), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => eventSchema.parse(JSON.parse(line)))
    .filter((event) => event.type.endsWith(kind))
    .map((event) => schema.parse(event.data?.[kind] ?? event.data));
}
