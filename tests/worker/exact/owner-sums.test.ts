/** Goal: sums that owners make from what all ranks show are those of integers that travel, bit by bit, for any shares. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { wireForms } from "../../../foundation/gradient-wire.ts";
import { layOutBlocks } from "../../../worker/exact/block-layout.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { cutShares } from "../../../worker/exact/cut-shares.ts";
import { canBeOwned } from "../../../worker/exact/owner-sums.ts";
import { MemoryFiles } from "../../../worker/exact/memory-files.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { exactRingOfTwo, exactRingOver, exactRingShared } from "../../support/exact-ring.ts";
import { installedBinding } from "../../support/installed-binding.ts";
import { shareBoards } from "../../support/shared-boards.ts";

const files = MemoryFiles.load(exactAddonFile(await installedBinding()));
const never = new AbortController().signal;
const partSizes = [1500, 7, 1, 0, 9000, 33, 2];
const length = partSizes.reduce((sum, size) => sum + size, 0);

/** What is in every ninth block; elsewhere plain values, and blocks of zeros. */
type Special = "zeros" | "denormals" | "spike" | "NaN" | "infinity";

function gradientOf(microbatch: number, special: Special): Float32Array {
  return Float32Array.from({ length }, (_, i) => {
    const block = Math.floor(i / 1024);
    if (block % 9 === 3) return 0;
    const value = Math.sin(i * 12.9898 + microbatch * 78.233) * 10 ** ((i % 9) - 6);
    if (block % 9 !== 4) return value;
    if (special === "denormals") return value * 1e-42;
    if (special === "zeros") return i % 2 === 0 ? 0 : -0;
    if (i % 1024 !== 17 || microbatch !== 1) return value;
    return { spike: 1e30, NaN: Number.NaN, infinity: Number.POSITIVE_INFINITY }[special];
  });
}

interface Sums {
  /** Bytes of the vector, by rank. */
  readonly vectors: readonly Buffer[];
  /** Σ x² of each piece, by rank. */
  readonly squares: readonly (readonly number[])[];
  readonly sentBytes: number;
  /** How many integers all ranks have handed to the ring. */
  readonly integers: number;
}

/** Two steps of groups, the second after the first was committed. */
async function sumOver(
  rankCount: number,
  microbatchCount: number,
  special: Special,
  over: "boards" | "memory" | "link",
): Promise<Sums> {
  const memoryFiles = over === "memory" ? files : null;
  const boards = over === "link" ? [] : shareBoards(rankCount, 16_384, memoryFiles);
  let integers = 0;
  const count = (added: number): void => {
    integers += added;
  };
  const links = createMemoryRing(rankCount);
  const ranks = await Promise.all(
    links.map(async (link, rank) => {
      const shared = boards[rank];
      const place = { rank, rankCount, link, collective: 0 };
      const overLink = rankCount === 2 ? exactRingOfTwo : exactRingOver;
      const ring = shared === undefined ? overLink(place, count) : exactRingShared(shared, count);
      const sum = new ExactSum(partSizes, Math.ceil(microbatchCount / rankCount), [], {
        form: wireForms.int32,
        wideFrom: partSizes.length,
        arenaMeans: { files: memoryFiles },
      });
      for (const step of [0, 1]) {
        sum.begin();
        for (const [first, end] of sum.groups(microbatchCount)) {
          let held = 0;
          for (let m = first; m < end; m++) {
            if (m % rankCount === rank) sum.slot(held++).set(gradientOf(m + step, special));
          }
          await sum.addGroup(held, end - first, ring, never);
        }
        sum.commit(step);
      }
      return {
        vector: Buffer.from(sum.vector.slice().buffer),
        squares: sum.pieces.map((_, piece) => sum.squaresOf(piece)),
      };
    }),
  );
  for (const board of boards) board.close();
  return {
    vectors: ranks.map(({ vector }) => vector),
    squares: ranks.map(({ squares }) => squares),
    integers,
    sentBytes: Math.max(
      ...boards.map(({ counters }) => counters.sentBytes),
      ...links.map((link) => link.sentBytes),
    ),
  };
}

describe("sums by owners, and carried round the ring", () => {
  for (const special of ["zeros", "denormals", "spike", "NaN", "infinity"] as const) {
    it(`are those of one rank, with squares, also where some have no microbatch or integers travel: ${special}`, async () => {
      for (const microbatchCount of [1, 2, 3, 8]) {
        const alone = await sumOver(1, microbatchCount, special, "link");
        for (const rankCount of [2, 3, 4, 7]) {
          const boards = await sumOver(rankCount, microbatchCount, special, "boards");
          const memory = await sumOver(rankCount, microbatchCount, special, "memory");
          const link = await sumOver(rankCount, microbatchCount, special, "link");
          for (const { vectors, squares } of [boards, memory, link]) {
            for (const vector of vectors) assert.ok(vector.equals(alone.vectors[0]!));
            for (const ofRank of squares) assert.deepEqual(ofRank, alone.squares[0]);
          }
          const isMade = microbatchCount <= rankCount;
          assert.equal(boards.integers === 0, isMade);
          assert.deepEqual(
            [memory.integers, memory.sentBytes],
            [boards.integers, boards.sentBytes],
            "what is read where it lies counts as what is shown on boards",
          );
          assert.equal(
            link.integers,
            0,
            "carried round the ring, or made by both of a ring of two",
          );
        }
      }
    });
  }

  it("move 2·K·(N−1)/N bytes each way where each rank has one microbatch", async () => {
    const { sentBytes } = await sumOver(4, 4, "spike", "boards");
    const steps = 2;
    const ring = (steps * 2 * length * 4 * 3) / 4;
    // Shares are cut at blocks; the squares and the counts come to some bytes a block.
    assert.ok(sentBytes > 0.9 * ring && sentBytes < 1.25 * ring, `${sentBytes} of ${ring}`);
    const pair = await sumOver(2, 2, "spike", "link");
    const carried = await sumOver(4, 4, "spike", "link");
    assert.ok(
      carried.sentBytes > 0.9 * ring && carried.sentBytes < 1.25 * ring,
      `${carried.sentBytes} of ${ring}`,
    );
    const ofTwo = steps * length * 4;
    assert.ok(
      pair.sentBytes > 0.9 * ofTwo && pair.sentBytes < 1.25 * ofTwo,
      `${pair.sentBytes} of ${ofTwo}`,
    );
  });

  it("are left to integers that travel where more ranks show something than the kernels' memory holds", () => {
    const scratch = new Uint8Array(128 * 1024);
    assert.ok(canBeOwned(32, scratch));
    assert.ok(!canBeOwned(33, scratch));
  });
});

describe("cutShares", () => {
  it("gives every block to one rank once, in order, in rounds that hold no more than they may", () => {
    const sizes = fc.array(fc.nat(5000), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(
        sizes,
        fc.record({
          rankCount: fc.integer({ min: 1, max: 9 }),
          elementsMax: fc.integer({ min: 1024, max: 4096 }),
        }),
        fc.nat(3),
        (parts, how, skipped) => {
          const { bounds, firstBlocks } = layOutBlocks(parts);
          const first = firstBlocks[Math.min(skipped, parts.length - 1)]!;
          const end = bounds.length - 1;
          const { shares, rounds } = cutShares(bounds, { first, end }, how);
          assert.equal(shares.length, how.rankCount);
          let at = first;
          for (const [rank, share] of shares.entries()) {
            assert.equal(share.first, at);
            for (const round of rounds) {
              const piece = round[rank]!;
              assert.ok(bounds[piece.end]! - bounds[piece.first]! <= how.elementsMax);
              if (piece.end === piece.first) continue;
              assert.equal(piece.first, at);
              at = piece.end;
            }
            assert.equal(share.end, at);
          }
          assert.equal(at, end);
          const total = bounds[end]! - bounds[first]!;
          for (const share of shares) {
            const elements = bounds[share.end]! - bounds[share.first]!;
            assert.ok(Math.abs(elements - total / how.rankCount) <= 1024 + 1);
          }
        },
      ),
    );
  });
});
