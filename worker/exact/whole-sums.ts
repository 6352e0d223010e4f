/**
 * The sums of whole parts that need no integers of their own in memory: made by owners where ranks reach each other directly and have
 * one microbatch each, which they tell each other once in a group; elsewhere carried round the ring.
 */
import { sumByCarrying, type CarryingRing } from "./carried-sums.ts";
import type { Grid, Run } from "./kernels.ts";
import { canBeOwned, sumByOwners, type DirectReduction, type OwnerGround } from "./owner-sums.ts";

/** What these sums need of a ring. */
export interface WholeRing {
  /** Where ranks reach each other directly; null elsewhere. */
  readonly direct: DirectReduction | null;
  /** Where payloads go from neighbour to neighbour; null elsewhere. */
  readonly carrying: CarryingRing | null;
}

/** What they are made with. */
export interface WholeGround extends OwnerGround {
  /** Slots that this worker fills. */
  readonly held: number;
  /** Microbatches of the group over all ranks. */
  readonly groupCount: number;
}

/** Fewer elements that are zero everywhere travel with their neighbours: an exchange of its own would take longer. */
const zerosMin = 64 * 1024;

/** Those of one group. */
export class WholeSums {
  readonly #ground: WholeGround;
  /** Slots that each rank fills, once they have told each other. */
  #held: readonly number[] | null = null;

  constructor(ground: WholeGround) {
    this.#ground = ground;
  }

  /**
   * Has owners make the sums of runs. What a rank with several microbatches would have to show is more than their integers' sum,
   * so there they make none. @returns whether they did
   */
  async makeByOwners(
    whole: readonly Run[],
    { direct }: WholeRing,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { scratch, groupCount } = this.#ground;
    if (direct === null) return false;
    if (groupCount > direct.rankCount || !canBeOwned(direct.rankCount, scratch)) return false;
    const held = await this.#tell(direct, signal);
    if (held.some((count) => count > 1)) return false;
    const givers = held.map((count) => count === 1);
    for (const run of joinRuns(whole))
      await sumByOwners(run, this.#ground, { givers, direct }, signal);
    return true;
  }

  /** Carries the sums of runs, of one source at least, whose exponents have been agreed on, round the ring. */
  async carry(whole: readonly Run[], carrying: CarryingRing, signal: AbortSignal): Promise<void> {
    const runs = joinRuns(whole).flatMap((run) => withoutZeros(run, this.#ground.grid));
    for (const run of runs) await sumByCarrying(run, this.#ground, carrying, signal);
  }

  async #tell(ring: DirectReduction, signal: AbortSignal): Promise<readonly number[]> {
    if (this.#held !== null) return this.#held;
    const told = Array.from({ length: ring.rankCount }, () => Uint8Array.of(this.#ground.held));
    await ring.fillParts(told, signal);
    this.#held = told.map(([count = 0]) => count);
    return this.#held;
  }
}

/**
 * What is left of a run whose blocks follow one another without long stretches of blocks that are zero on all ranks, and without those
 * at its ends. Pure; exponents have been agreed on, so it is the same on all ranks.
 */
export function withoutZeros(
  run: Run,
  { exponents, bounds }: Pick<Grid, "exponents" | "bounds">,
): readonly Run[] {
  const first = run.blocks[0] ?? 0;
  const stop = first + run.blocks.length;
  const stretches: { start: number; end: number }[] = [];
  for (let block = first; block < stop; block++) {
    if (exponents[block] === 0) continue;
    const last = stretches.at(-1);
    const zeros = (bounds[block] ?? 0) - (bounds[last?.end ?? 0] ?? 0);
    if (last !== undefined && zeros < zerosMin) last.end = block + 1;
    else stretches.push({ start: block, end: block + 1 });
  }
  return stretches.map(({ start, end }) => ({
    ...run,
    sources: run.sources.map((source) =>
      source.subarray((bounds[start] ?? 0) - (bounds[first] ?? 0)),
    ),
    blocks: run.blocks.subarray(start - first, end - first),
  }));
}

/** Runs whose blocks follow one another, as one. */
function joinRuns(runs: readonly Run[]): readonly Run[] {
  const joined: Run[] = [];
  for (const run of runs) {
    const before = joined.at(-1);
    const follows = before !== undefined && (before.blocks.at(-1) ?? -1) + 1 === run.blocks[0];
    if (!follows) {
      joined.push(run);
      continue;
    }
    const { buffer, byteOffset, length } = before.blocks;
    const blocks = new Uint32Array(buffer, byteOffset, length + run.blocks.length);
    joined[joined.length - 1] = { ...before, blocks };
  }
  return joined;
}
