/** The Trainer's side of bench:epoch: its variants, and the fastest way to run each. */
import { z } from "zod";
import { cut, epochBatches, type EpochJob, type EpochTime } from "./epoch-parts.ts";
import { runPeer } from "./peer-python.ts";
import {
  allocatorVariables,
  chooseWay,
  describeWay,
  threadCounts,
  type PeerChoices,
  type PeerWay,
} from "./peer-way.ts";
import { tellProgress } from "./report.ts";

/** The article's code takes ten times as long: a part of each part serves. */
const articleParts = 8;
/** The Trainer's fastest settings are looked for on one of so many pieces of a part. */
const tuningPieces = 4;
const evalBatch = epochBatches.evaluation;

const peerSchema = z.object({
  tokeniseMs: z.number(),
  trainMs: z.number(),
  evaluateMs: z.number(),
  compileMs: z.number(),
  ownThreads: z.number(),
  torch: z.string(),
  transformers: z.string(),
});

/** How the Trainer is used: its padding, the rows of an evaluation batch, and the length that pads or cuts. */
const variants = {
  article: { padding: "max_length", evalBatch: 8, maxLength: 512, parts: articleParts },
  max_length: { padding: "max_length", evalBatch, maxLength: 128, parts: 1 },
  dynamic: { padding: "dynamic", evalBatch, maxLength: 128, parts: 1 },
  grouped: { padding: "grouped", evalBatch, maxLength: 128, parts: 1 },
} as const;

/** One of them. */
export type Variant = keyof typeof variants;

/** What a Trainer runs. */
export interface TrainerRun {
  readonly variant: Variant;
  readonly way: PeerWay;
  readonly part: number;
  /** Into how many pieces the part is cut: the run is of the first. */
  readonly finer?: number;
}

/** What came of it. */
export interface TrainerResult {
  readonly time: EpochTime;
  /** Torch's own thread count. */
  readonly ownThreads: number;
  readonly versions: { readonly torch: string; readonly transformers: string };
}

/** Runs it once; how long it took, and the libraries' versions. */
export async function trainer(
  job: EpochJob,
  { variant, way, part, finer = 1 }: TrainerRun,
): Promise<TrainerResult> {
  const { padding, evalBatch: rows, maxLength, parts } = variants[variant];
  const { train, test, scale } = cut(job, part, parts * finer);
  const length = Math.min(maxLength, job.longest);
  const mode = way.compile ? "compile" : "eager";
  const args = [
    job.model,
    train,
    test,
    padding,
    epochBatches.train,
    rows,
    length,
    way.threads,
    mode,
  ];
  const env = allocatorVariables(way.allocator);
  const started = performance.now();
  const result = await runPeer("epoch_trainer.py", args.map(String), peerSchema, env);
  const wallMs = performance.now() - started;
  const partMs = result.tokeniseMs + result.trainMs + result.evaluateMs;
  const { torch, transformers, ownThreads } = result;
  // What compiling took is not counted.
  const time = { startMs: wallMs - result.compileMs - partMs, workMs: partMs * scale };
  return { time, ownThreads, versions: { torch, transformers } };
}

/** How each variant of the Trainer is fastest, by small pieces of a part. */
export async function chooseWays(
  job: EpochJob,
  asked: readonly Variant[],
): Promise<ReadonlyMap<Variant, PeerWay>> {
  const finer = job.isShort ? 1 : tuningPieces;
  const own = { threads: 0, allocator: "default", compile: false } as const;
  const ways = new Map<Variant, PeerWay>();
  const [first] = asked;
  if (first === undefined) return ways;
  const { ownThreads } = await trainer(job, { variant: first, way: own, part: 0, finer });
  for (const variant of asked) {
    const choices: PeerChoices = {
      threads: job.isShort ? [ownThreads] : threadCounts(ownThreads),
      allocators: ["default", "ours"],
      compile: job.isShort ? [false] : [false, true],
    };
    const way = await chooseWay(choices, async (candidate) => {
      const run = await trainer(job, { variant, way: candidate, part: 0, finer });
      return run.time.workMs;
    });
    ways.set(variant, way);
    tellProgress(`the Trainer, ${variant}, is fastest with ${describeWay(way)}`);
  }
  return ways;
}
