/** Gathers what workers report of profiled steps, and writes traces and summary when the run is over. */
import { join } from "node:path";
import type { StepRange } from "../../foundation/job/profile-steps.ts";
import type { StepProfiled } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { replaceFolder, writeSynced } from "../checkpoint/write-aside.ts";
import { summarizeWorker, type WorkerSummary } from "./profile-summary.ts";
import { profileText } from "./profile-text.ts";
import { unpackProfile, type ProfiledStep } from "./profiled-step.ts";
import { traceEvents } from "./trace-events.ts";

/** What was written. */
export interface WrittenProfile {
  readonly folder: string;
  readonly workers: readonly WorkerSummary[];
}

/** The profile of one run. */
export class Profiler {
  readonly #range: StepRange | null;
  readonly #folder: string;
  readonly #steps: ProfiledStep[] = [];

  readonly #say: (line: string) => void;

  /** @param range steps to profile, or null for none @param outputDir gets a folder `profile` */
  constructor(range: StepRange | null, outputDir: string, say: (line: string) => void) {
    this.#say = say;
    this.#range = range;
    this.#folder = join(outputDir, "profile");
  }

  /** Whether the workers are to profile a step. */
  wants(step: number): boolean {
    return this.#range !== null && step >= this.#range.first && step <= this.#range.last;
  }

  /** Takes a report; one that was not asked for is dropped, and so is one that cannot be read, which is told. */
  take(rank: number, workerId: string, report: StepProfiled): void {
    if (!this.wants(Number(report.step))) return;
    try {
      this.#steps.push(unpackProfile(report, { rank, workerId }));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#say(`the profile of step ${report.step} by ${workerId} cannot be read: ${reason}`);
    }
  }

  /** Writes a trace for each worker, and the summary; null where nothing was profiled. */
  async write(): Promise<WrittenProfile | null> {
    if (this.#steps.length === 0) return null;
    const folder = this.#folder;
    // One origin for all, so that traces opened together lie under each other.
    const originMs = Math.min(...this.#steps.map(({ startedMs }) => startedMs));
    const ranks = [...new Set(this.#steps.map(({ rank }) => rank))].sort((one, two) => one - two);
    const stepsOf = (rank: number): ProfiledStep[] =>
      this.#steps.filter((step) => step.rank === rank);
    const workers = ranks.map((rank) => summarizeWorker(stepsOf(rank)));
    await replaceFolder(folder, async (partial) => {
      for (const rank of ranks) {
        const trace = { displayTimeUnit: "ms", traceEvents: traceEvents(stepsOf(rank), originMs) };
        await writeSynced(join(partial, `rank-${rank}.json`), JSON.stringify(trace));
      }
      const json = `${JSON.stringify({ workers }, null, 2)}\n`;
      await writeSynced(join(partial, "summary.json"), json);
      await writeSynced(join(partial, "summary.txt"), profileText(workers));
    });
    return { folder, workers };
  }
}
