/**
 * Compares the weights of all workers, and records their hashes: every so many steps, and for each checkpoint. They are hashed
 * beside the next step, which is not committed before they were found to be the same.
 */
import { create } from "@bufbuild/protobuf";
import { HashWeightsSchema, type WeightsHashed } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { hashText } from "../server/commit.ts";
import { checkSameWeights } from "./diverged.ts";
import type { RunContext } from "./run-context.ts";

/** A comparison. */
interface Comparison {
  readonly step: number;
  /** Resolves when the weights are the same and that is in the journal; never where a worker is gone that has not answered. */
  readonly same: Promise<void>;
  /** The same, but that it rejects then. */
  readonly verdict: Promise<void>;
  /** Workers in rank order. */
  readonly workers: readonly string[];
  /** Hashes by worker, as far as they have come. */
  readonly hashes: Map<string, readonly bigint[]>;
  readonly answered: () => void;
  readonly lose: (reason: Error) => void;
}

/** The comparisons of one run: one at a time. */
export class WeightCheck {
  #last: Comparison | null = null;
  /** Step whose weights were found to be the same. */
  #compared: number | null = null;

  /** The run goes back, or is left: what was compared does not count, and what is under way is not waited for. */
  forget(): void {
    this.#last?.lose(new Error("its weights are not compared any more"));
    this.#last = null;
    this.#compared = null;
  }

  /**
   * Has the weights of the last committed step hashed, unless that has been done; the directives are sent before this returns. The
   * comparison before is to be over. What is given rejects with Diverged, which names the worker, or when a worker is gone
   * before it has answered.
   */
  begin(run: RunContext): Promise<void> {
    const { fleet, progress } = run;
    const { step } = progress;
    if (this.#last?.step === step) return this.#last.verdict;
    const workers = fleet.members.map(({ workerId }) => workerId);
    const hashes = new Map<string, readonly bigint[]>();
    let answered = (): void => undefined;
    let lose = (_reason: Error): void => undefined;
    const whole = new Promise<void>((resolve) => {
      answered = resolve;
    });
    const lost = new Promise<never>((_resolve, reject) => {
      lose = reject;
    });
    const same = whole.then(async () => {
      await compare(run, { step, workers, hashes });
      this.#compared = step;
    });
    const verdict = Promise.race([same, lost]);
    // Where nobody waits for it, the next commit does.
    verdict.catch(() => undefined);
    this.#last = { step, same, verdict, workers, hashes, answered, lose };
    const value = create(HashWeightsSchema, { generation: fleet.generation, step: BigInt(step) });
    fleet.broadcast({ case: "hashWeights", value });
    return verdict;
  }

  /** Waits until the last comparison is over. Throws Diverged, WorkerLost, or the signal's reason. */
  async settle({ fleet }: Pick<RunContext, "fleet">, signal: AbortSignal): Promise<void> {
    const last = this.#last;
    if (last !== null && last.step !== this.#compared) await fleet.while(last.same, signal);
  }

  /** Takes what a worker has hashed. */
  take(workerId: string, { step, tensorHashes }: WeightsHashed): void {
    const last = this.#last;
    if (last === null || Number(step) !== last.step || !last.workers.includes(workerId)) return;
    last.hashes.set(workerId, tensorHashes);
    if (last.hashes.size === last.workers.length) last.answered();
  }

  /** A worker is gone: what it has not answered by now does not come. */
  gone(workerId: string, reason: string): void {
    const last = this.#last;
    if (last?.workers.includes(workerId) !== true || last.hashes.has(workerId)) return;
    last.lose(new Error(`${workerId} is lost before its weights were compared: ${reason}`));
  }
}

async function compare(
  { table, journal }: RunContext,
  { step, workers, hashes }: Pick<Comparison, "step" | "workers" | "hashes">,
): Promise<void> {
  const byRank = workers.map((workerId) => hashes.get(workerId) ?? []);
  checkSameWeights(step, byRank, { workers, tensors: table.entries.map(({ name }) => name) });
  await journal.append({ kind: "weights", step, tensors: (byRank[0] ?? []).map(hashText) });
}
