/** PyTorch's side of a training step: started once per job, its best thread count found, then measured in blocks. */
import { z } from "zod";
import type { Precision } from "../../../foundation/precision.ts";
import { threadCounts } from "./peer-way.ts";
import { startPeerRanks, type PeerRanks, type RanksPlace } from "./peer-ranks.ts";
import { median } from "./statistics.ts";

/** Versions of the peer, as every report names them. */
export interface PeerVersions {
  readonly torch: string;
  readonly transformers: string;
}

const helloSchema = z.object({
  torch: z.string(),
  transformers: z.string(),
  threads: z.number(),
});
const blockSchema = z.object({ ms: z.array(z.number()), losses: z.array(z.number()) });

/** How PyTorch runs the model. */
export type PeerMode = "eager" | "compile";

/** What is trained on the peer's side. */
export interface PeerJob {
  readonly modelFolder: string;
  readonly rows: number;
  readonly tokens: number;
  readonly precision: Precision;
  /** Where it computes; on GPUs its ranks meet over NCCL. Default: cpu. */
  readonly device?: "cpu" | "gpu";
  readonly worldSize?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** How DDP compresses gradients. Default: not. */
  readonly hook?: PeerHook;
  /** Rows that it trains on, as our side's files; by default the same random ones at every step. */
  readonly rowsFile?: string;
  /** Where its ranks run. Default: here. */
  readonly place?: RanksPlace;
}

/** DDP's communication hooks that are measured: none, bf16 on the wire, PowerSGD of rank 1. */
export type PeerHook = "none" | "bf16" | "powersgd";

/** A peer that trains in blocks of steps. */
export class TrainPeer {
  readonly #ranks: PeerRanks<z.infer<typeof helloSchema>>;
  readonly #worldSize: number;
  #threads = 0;

  private constructor(ranks: PeerRanks<z.infer<typeof helloSchema>>, worldSize: number) {
    this.#ranks = ranks;
    this.#worldSize = worldSize;
  }

  /** Starts its processes and waits until the model is loaded. */
  static async start(job: PeerJob): Promise<TrainPeer> {
    const { modelFolder, rows, tokens, precision, worldSize = 1, env = {} } = job;
    const { hook = "none", device = "cpu" } = job;
    const args = [modelFolder, String(rows), String(tokens), precision, hook, device];
    if (job.rowsFile !== undefined) args.push(job.rowsFile);
    const where = { worldSize, env, ...(job.place === undefined ? {} : { place: job.place }) };
    const ranks = await startPeerRanks("train_step.py", args, helloSchema, where);
    return new TrainPeer(ranks, worldSize);
  }

  get versions(): PeerVersions {
    const { torch, transformers } = this.#ranks.hello;
    return { torch, transformers };
  }

  /** Threads of each rank now; 0 before they were chosen. */
  get threads(): number {
    return this.#threads;
  }

  /** Milliseconds of each of some steps. */
  async steps(mode: PeerMode, count: number, threads = this.#threads): Promise<readonly number[]> {
    const { ms } = await this.#ranks.ask({ mode, threads, steps: count }, blockSchema);
    return ms;
  }

  /** The loss of each of some steps on the rows of its file, the mean over ranks. */
  async losses(count: number, threads: number): Promise<readonly number[]> {
    const { losses } = await this.#ranks.ask({ mode: "eager", threads, steps: count }, blockSchema);
    return losses;
  }

  /**
   * Tries torch's own thread count, the cores shared out among the ranks, and half of that (cores that are two threads
   * of one); keeps what is fastest over some steps after a warm-up.
   */
  async chooseThreads(count: number): Promise<void> {
    const candidates = threadCounts(this.#ranks.hello.threads, this.#worldSize);
    const [share = 1] = candidates;
    await this.steps("eager", 1, share);
    if (candidates.length === 1) {
      this.#threads = share;
      return;
    }
    let best = Number.POSITIVE_INFINITY;
    for (const threads of candidates) {
      const ms = median(await this.steps("eager", count, threads));
      if (ms >= best) continue;
      best = ms;
      this.#threads = threads;
    }
  }

  async close(): Promise<void> {
    await this.#ranks.close();
  }
}
