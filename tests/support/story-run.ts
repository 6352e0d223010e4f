/** A real run of the real program: started in a process group of its own, as a terminal does, watched by its lines. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { readJournal } from "../../coordinator/run/journal.ts";

const stateSchema = z.object({ log_history: z.array(z.record(z.string(), z.number())) });

const program = fileURLToPath(new URL("../../coordinator/bin.mjs", import.meta.url));

/** A run under way. */
export interface StoryRun {
  readonly child: ChildProcess;
  /** All that it has written so far. */
  text(): string;
  /** Waits for some text; gives what was found, and fails when the program ends before. */
  until(wanted: string | RegExp): Promise<readonly string[]>;
  /** Waits for the end: exit code, or the signal that killed it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Signals the whole process group, as a terminal's Ctrl-C does. */
  interrupt(): void;
}

/** Starts the program. */
export function startRun(args: readonly string[], env: NodeJS.ProcessEnv = {}): StoryRun {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, ...env },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (data: string) => {
      text += data;
    });
  }
  let isOver = false;
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("close", (code, signal) => {
      isOver = true;
      resolve(signal ?? code ?? 1);
    });
  });
  return {
    child,
    text: () => text,
    ended,
    async until(wanted) {
      for (;;) {
        const isThere = typeof wanted === "string" && text.includes(wanted);
        const found = isThere ? [wanted] : typeof wanted === "string" ? null : wanted.exec(text);
        if (found !== null) return found;
        if (isOver) throw new Error(`ended without ${String(wanted)}:\n${text}`);
        await sleep(20);
      }
    },
    interrupt() {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGINT");
    },
  };
}

/** Loss of every committed step in a run's journal, by step. */
export async function lossesOf(outputDir: string): Promise<ReadonlyMap<number, number>> {
  const records = await readJournal(join(outputDir, "journal.jsonl"));
  return new Map(
    records.flatMap((record) =>
      record.kind === "step" ? [[record.step, record.loss] as const] : [],
    ),
  );
}

/** Process ids of all programs that name this text in their command line or environment. Linux only. */
export async function processesNaming(text: string): Promise<readonly number[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/u.test(name));
  const found: number[] = [];
  for (const id of ids) {
    if (Number(id) === process.pid) continue;
    for (const file of ["cmdline", "environ"]) {
      const content = await readFile(join("/proc", id, file), "utf8").catch(() => "");
      if (content.includes(text)) found.push(Number(id));
    }
  }
  return [...new Set(found)];
}

/** What every evaluation of a run came to, by step: all metrics of its log but times and rates. */
export async function evaluationsOf(
  outputDir: string,
): Promise<ReadonlyMap<number, Readonly<Record<string, number>>>> {
  const text = await readFile(join(outputDir, "trainer_state.json"), "utf8");
  const { log_history: history } = stateSchema.parse(JSON.parse(text));
  return new Map(
    history
      .filter((entry) => "eval_loss" in entry)
      .map((entry) => {
        const metrics = Object.entries(entry).filter(
          ([name]) => name.startsWith("eval_") && !/_runtime$|_per_second$/u.test(name),
        );
        return [entry["step"] ?? Number.NaN, Object.fromEntries(metrics)];
      }),
  );
}

/** SHA-256 of a file, in hex. */
export async function hashOf(file: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
}

/** Process id of the worker that a run has started for a place, from 0. */
export async function workerProcess(run: string, place: number): Promise<number> {
  for (const id of await processesNaming(`RINGMASTER_RUN=${run}`)) {
    const environment = await readFile(`/proc/${id}/environ`, "utf8").catch(() => "");
    const command = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
    const isWorker = command.startsWith(process.execPath);
    if (isWorker && environment.includes(`RINGMASTER_LOCAL_RANK=${place}\0`)) return id;
  }
  throw new Error(`worker ${place} of ${run} is no process`);
}
