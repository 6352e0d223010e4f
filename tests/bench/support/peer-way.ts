/** How a peer is run at its fastest: chosen before the rounds by trying, one thing at a time. */
import { availableParallelism } from "node:os";
import { allocatorEnvironment } from "../../../proto/environment.ts";

/** Whose allocator settings a peer runs with: its own, or those that we give our workers. */
export type Allocator = "default" | "ours";

/** A way of running the peer. */
export interface PeerWay {
  readonly threads: number;
  readonly allocator: Allocator;
  /** Whether its model goes through torch.compile. */
  readonly compile: boolean;
}

/** What there is to choose from; of each the first is where the search begins. */
export interface PeerChoices {
  readonly threads: readonly number[];
  readonly allocators: readonly Allocator[];
  readonly compile: readonly boolean[];
}

/** Environment variables of a peer with these settings. */
export function allocatorVariables(allocator: Allocator): Readonly<Record<string, string>> {
  return allocator === "ours" ? allocatorEnvironment : {};
}

/**
 * Thread counts worth trying: the cores shared out among the ranks, torch's own count, and half of the share (cores that are two
 * threads of one).
 */
export function threadCounts(own: number, ranks = 1): readonly number[] {
  const share = Math.max(1, Math.floor(availableParallelism() / ranks));
  return [...new Set([share, own, Math.max(1, Math.floor(share / 2))])];
}

/**
 * The fastest way: threads first, then the allocator, then compiling; each with the best of what came before it.
 * @param measure milliseconds of some work done one way
 */
export async function chooseWay(
  { threads, allocators, compile }: PeerChoices,
  measure: (way: PeerWay) => Promise<number>,
): Promise<PeerWay> {
  let best: PeerWay = {
    threads: threads[0] ?? 1,
    allocator: allocators[0] ?? "default",
    compile: compile[0] ?? false,
  };
  if (Math.max(threads.length, allocators.length, compile.length) <= 1) return best;
  let bestMs = await measure(best);
  const consider = async (way: PeerWay): Promise<void> => {
    const ms = await measure(way);
    if (ms >= bestMs) return;
    bestMs = ms;
    best = way;
  };
  for (const count of threads.slice(1)) await consider({ ...best, threads: count });
  for (const allocator of allocators.slice(1)) await consider({ ...best, allocator });
  for (const whether of compile.slice(1)) await consider({ ...best, compile: whether });
  return best;
}

/** In words for a table, as `2 threads, our allocator settings`. */
export function describeWay({ threads, allocator, compile }: PeerWay): string {
  const words = [
    `${threads} thread${threads === 1 ? "" : "s"}`,
    allocator === "ours" ? "our allocator settings" : "its own allocator settings",
    ...(compile ? ["torch.compile"] : []),
  ];
  return words.join(", ");
}
