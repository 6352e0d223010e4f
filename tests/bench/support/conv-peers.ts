/** PyTorch's side of bench:conv: both memory layouts, each at its fastest thread count and allocator settings. */
import { z } from "zod";
import { startPeerRanks, type PeerRanks } from "./peer-ranks.ts";
import {
  allocatorVariables,
  chooseWay,
  describeWay,
  threadCounts,
  type Allocator,
  type PeerWay,
} from "./peer-way.ts";
import { tellProgress } from "./report.ts";
import { median } from "./statistics.ts";

const layouts = ["contiguous", "channels_last"] as const;
const tuningSteps = 2;

const helloSchema = z.object({ torch: z.string(), threads: z.number() });

/** Wall and processor milliseconds of each of some steps. */
export const convBlockSchema = z.object({ ms: z.array(z.number()), cpuMs: z.array(z.number()) });

/** Times of some steps. */
export type ConvBlock = z.infer<typeof convBlockSchema>;

/** PyTorch in one layout. */
export interface ConvPeer {
  readonly layout: (typeof layouts)[number];
  readonly way: PeerWay;
  readonly run: (steps: number) => Promise<ConvBlock>;
}

/** PyTorch's processes. */
export interface ConvPeers {
  readonly torch: string;
  readonly peers: readonly ConvPeer[];
  close(): Promise<void>;
}

/** Starts them, and finds how each layout is fastest. @param threads of each; 0 to choose */
export async function chooseConvPeers(
  args: readonly string[],
  threads: number,
): Promise<ConvPeers> {
  const ranks = new Map<Allocator, PeerRanks<z.infer<typeof helloSchema>>>();
  const close = async (): Promise<void> => {
    await Promise.all([...ranks.values()].map((one) => one.close()));
  };
  const block = async (
    layout: ConvPeer["layout"],
    way: PeerWay,
    steps: number,
  ): Promise<ConvBlock> => {
    const peer = ranks.get(way.allocator);
    if (peer === undefined) throw new Error(`Cannot run PyTorch with allocator ${way.allocator}`);
    return await peer.ask({ layout, threads: way.threads, steps }, convBlockSchema);
  };
  try {
    for (const allocator of ["default", "ours"] as const) {
      const env = allocatorVariables(allocator);
      ranks.set(allocator, await startPeerRanks("conv_step.py", args, helloSchema, { env }));
    }
    const hello = ranks.get("default")?.hello ?? { torch: "", threads: 0 };
    const counts = threads > 0 ? [threads] : threadCounts(hello.threads);
    const choices = { threads: counts, allocators: [...ranks.keys()], compile: [false] };
    const peers: ConvPeer[] = [];
    for (const layout of layouts) {
      const way = await chooseWay(choices, async (candidate) => {
        await block(layout, candidate, 1);
        return median((await block(layout, candidate, tuningSteps)).ms);
      });
      tellProgress(`PyTorch, ${layout}, is fastest with ${describeWay(way)}`);
      peers.push({ layout, way, run: (steps) => block(layout, way, steps) });
    }
    for (const [allocator, unused] of ranks) {
      if (peers.some(({ way }) => way.allocator === allocator)) continue;
      await unused.close();
      ranks.delete(allocator);
    }
    return { torch: hello.torch, peers, close };
  } catch (error) {
    await close();
    throw error;
  }
}
