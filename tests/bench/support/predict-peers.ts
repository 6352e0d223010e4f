/** transformers' side of bench:predict: the pipeline and the loop over sorted batches, each at its fastest settings. */
import { z } from "zod";
import { startPeerRanks, type PeerRanks } from "./peer-ranks.ts";
import {
  allocatorVariables,
  chooseWay,
  describeWay,
  threadCounts,
  type PeerWay,
} from "./peer-way.ts";
import { tellProgress } from "./report.ts";
import type { PeerVersions } from "./train-peer.ts";

/** How labels are made. */
export const predictKinds = ["pipeline", "sorted"] as const;

/** One of them. */
export type PredictKind = (typeof predictKinds)[number];

const batchSizes = { pipeline: [1, 8, 16, 32, 64], sorted: [16, 32, 64] } as const;
const tuningBatch = 32;
const tuningLines = 512;

const helloSchema = z.object({ torch: z.string(), transformers: z.string(), threads: z.number() });
const answerSchema = z.object({ ms: z.number(), labels: z.array(z.string()) });

type Answer = z.infer<typeof answerSchema>;
type Ranks = PeerRanks<z.infer<typeof helloSchema>>;

/** One way of making labels, ready. */
export interface PredictPeer {
  readonly kind: PredictKind;
  readonly batch: number;
  readonly way: PeerWay;
  readonly label: (lines: number) => Promise<Answer>;
}

/** The processes of all. */
export interface PredictPeers {
  readonly versions: PeerVersions;
  readonly peers: readonly PredictPeer[];
  close(): Promise<void>;
}

/** Processes by thread count and allocator: what torch.compile has made once keeps the count that it met. */
class Processes {
  readonly #args: readonly string[];
  readonly #started = new Map<string, Ranks>();

  constructor(args: readonly string[]) {
    this.#args = args;
  }

  async at({ threads, allocator }: Pick<PeerWay, "threads" | "allocator">): Promise<Ranks> {
    const key = `${threads} ${allocator}`;
    const known = this.#started.get(key);
    if (known !== undefined) return known;
    const args = [...this.#args, String(threads)];
    const env = allocatorVariables(allocator);
    const ranks = await startPeerRanks("predict_rate.py", args, helloSchema, { env });
    this.#started.set(key, ranks);
    return ranks;
  }

  async keep(ways: readonly PeerWay[]): Promise<void> {
    const kept = new Set(ways.map(({ threads, allocator }) => `${threads} ${allocator}`));
    for (const [key, ranks] of this.#started) {
      if (kept.has(key)) continue;
      await ranks.close();
      this.#started.delete(key);
    }
  }
}

/** Milliseconds of the first lines; they are done twice, the first time warms up. */
async function tryOut(ranks: Ranks, command: object): Promise<number> {
  await ranks.ask(command, answerSchema);
  return (await ranks.ask(command, answerSchema)).ms;
}

/** Starts processes and finds how each kind is fastest: its threads and allocator first, then its batch size. */
export async function choosePredictPeers(
  job: { readonly model: string; readonly file: string; readonly lines: number },
  kinds: readonly PredictKind[],
): Promise<PredictPeers> {
  const processes = new Processes([job.model, job.file]);
  const lines = Math.min(job.lines, tuningLines);
  const close = (): Promise<void> => processes.keep([]);
  try {
    const [cores = 1] = threadCounts(1);
    const first = await processes.at({ threads: cores, allocator: "default" });
    const { threads: own, torch, transformers } = first.hello;
    const peers: PredictPeer[] = [];
    for (const kind of kinds) {
      const choices = {
        threads: threadCounts(own),
        allocators: ["default", "ours"] as const,
        compile: [false],
      };
      const way = await chooseWay(choices, async (candidate) =>
        tryOut(await processes.at(candidate), { kind, batch: tuningBatch, lines }),
      );
      const ranks = await processes.at(way);
      let best = { batch: tuningBatch, ms: Number.POSITIVE_INFINITY };
      for (const batch of batchSizes[kind]) {
        const ms = await tryOut(ranks, { kind, batch, lines });
        if (ms < best.ms) best = { batch, ms };
      }
      const { batch } = best;
      tellProgress(`${kind} is fastest with ${describeWay(way)}, batch ${batch}`);
      const label = (count: number): Promise<Answer> =>
        ranks.ask({ kind, batch, lines: count }, answerSchema);
      peers.push({ kind, batch, way, label });
    }
    await processes.keep(peers.map(({ way }) => way));
    return { versions: { torch, transformers }, peers, close };
  } catch (error) {
    await close();
    throw error;
  }
}
