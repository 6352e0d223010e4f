/**
 * Goal: parts that come and travel by rows give the bits that whole parts give, whoever touches which rows, step after
 * step, in however many buckets.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { exactWires, wireForms, type GradientWire } from "../../../foundation/gradient-wire.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { bytesByPart, vectorOfPieces } from "../../support/bytes-by-part.ts";
import { exactRingOfTwo, exactRingOver, exactRingShared } from "../../support/exact-ring.ts";
import { shareBoards } from "../../support/shared-boards.ts";

/** [row part of 9 × 20 | 33 | row part of 5 × 1030 | 7 | 1]: rows shorter and longer than a block. */
const tables = [
  { part: 0, rows: 9, size: 20 },
  { part: 2, rows: 5, size: 1030 },
];
const partSizes = [9 * 20, 33, 5 * 1030, 7, 1];
const length = partSizes.reduce((sum, size) => sum + size, 0);
const capacity = 4;
const never = new AbortController().signal;

/** One microbatch: rows that it touches, by table, and what its values are made from. */
interface Microbatch {
  readonly rows: readonly (readonly number[])[];
  readonly room: number;
  readonly seed: number;
}

function valueAt(seed: number, index: number): number {
  const value = Math.sin(index * 12.9898 + seed * 78.233) * 10 ** (((index + seed) % 50) - 44);
  return (index + seed) % 5 === 0 ? 0 : value;
}

function offsetOf(part: number): number {
  return partSizes.slice(0, part).reduce((sum, size) => sum + size, 0);
}

/** The whole vector: rows that are not touched are zero. */
function wholeVector({ rows, seed }: Microbatch): Float32Array {
  const vector = Float32Array.from({ length }, (_, i) => valueAt(seed, i));
  for (const [index, table] of tables.entries()) {
    for (let row = 0; row < table.rows; row++) {
      const start = offsetOf(table.part) + row * table.size;
      if (!rows[index]!.includes(row)) vector.fill(0, start, start + table.size);
    }
  }
  return vector;
}

/** The vector as the engine gives it: whole parts, then touched rows and room up to `room` rows that holds rubbish. */
function givenVector(microbatch: Microbatch): Float32Array {
  const whole = wholeVector(microbatch);
  const pieces = partSizes.flatMap((size, part): Float32Array[] => {
    const start = offsetOf(part);
    const isTable = tables.some((table) => table.part === part);
    return isTable ? [] : [whole.slice(start, start + size)];
  });
  const rows = tables.map(({ part, size }, index): Float32Array => {
    const start = offsetOf(part);
    const given = new Float32Array(microbatch.room * size).fill(Number.NaN);
    for (const [place, row] of microbatch.rows[index]!.entries()) {
      given.set(whole.subarray(start + row * size, start + (row + 1) * size), place * size);
    }
    return given;
  });
  return Float32Array.from([...pieces, ...rows].flatMap((piece) => [...piece]));
}

/** Elements before a whole part in a slot. */
function offsetInSlot(part: number, byRows: boolean): number {
  const before = partSizes.slice(0, part);
  const isGiven = (index: number): boolean => !byRows || tables.every((row) => row.part !== index);
  return before.reduce((sum, size, index) => sum + (isGiven(index) ? size : 0), 0);
}

type Step = readonly Microbatch[];

/** How steps are summed. */
interface SumForm {
  readonly byRows: boolean;
  readonly wire?: GradientWire;
  /** With several, each bucket's whole parts are there just before it is added, as while a program runs; rubbish before. */
  readonly buckets?: number;
  /** Bytes of a piece of the boards that the ranks share; over memory links where it is absent, or a rank is alone. */
  readonly pieceBytes?: number;
  /** Whether two ranks over a memory link reach each other directly. */
  readonly paired?: boolean;
}

/** Sums steps over a ring; gives each step's vector on every rank, as bytes. */
async function sumSteps(
  worldSize: number,
  steps: readonly Step[],
  { byRows, wire = "int32", buckets = 1, pieceBytes = 0, paired = false }: SumForm,
) {
  const rowParts = tables.map(({ part, rows }) => ({
    part,
    rows,
    capacity: byRows ? capacity : rows,
  }));
  let sent = 0;
  const count = (integers: number): void => {
    sent += integers;
  };
  const boards = pieceBytes > 0 && worldSize > 1 ? shareBoards(worldSize, pieceBytes) : null;
  const ranks = await Promise.all(
    createMemoryRing(worldSize).map(async (link, rank) => {
      const place = { rank, rankCount: worldSize, link, collective: 0 };
      const shared = boards?.[rank];
      const overLink = paired && worldSize === 2 ? exactRingOfTwo : exactRingOver;
      const ring = shared === undefined ? overLink(place, count) : exactRingShared(shared, count);
      const sum = new ExactSum(partSizes, 6, rowParts, { form: wireForms[wire], wideFrom: 3 });
      const results: Buffer[] = [];
      const hashed: Buffer[] = [];
      for (const [index, step] of steps.entries()) {
        sum.begin();
        for (const [first, end] of sum.groups(step.length)) {
          const own = step.slice(first, end).filter((_, m) => m % worldSize === rank);
          const vectors = own.map(byRows ? givenVector : wholeVector);
          for (const [k, microbatch] of own.entries()) {
            if (k < own.length - 1) sum.slot(k).set(vectors[k]!);
            else sum.slot(k).fill(Number.NaN);
            const { room } = microbatch;
            const touched = microbatch.rows.map((rows) => ({ rows: Int32Array.from(rows), room }));
            if (byRows) sum.touch(k, touched);
            sum.roundBy(k, microbatch.seed);
          }
          const group = sum.openGroup(own.length, end - first);
          const last = own.length - 1;
          let given = Number.POSITIVE_INFINITY;
          for (const bucket of sum.buckets(buckets, step.length)) {
            const from = bucket.isLast ? 0 : offsetInSlot(bucket.first, byRows);
            const values = vectors[last]?.subarray(from, given) ?? [];
            if (last >= 0) sum.slot(last).set(values, from);
            given = from;
            await group.add(bucket, ring, never);
          }
        }
        results.push(Buffer.from(sum.vector.slice().buffer));
        if (byRows)
          assert.deepEqual(
            vectorOfPieces(bytesByPart(sum), { partSizes, tables }, wire),
            sum.vector,
            `pieces of ${index}`,
          );
        hashed.push(Buffer.concat(bytesByPart(sum).flat()));
        if (index % 2 === 0) sum.commit(index);
      }
      return { results, hashed };
    }),
  );
  for (const board of boards ?? []) board.close();
  return {
    ranks: ranks.map(({ results }) => results),
    hashed: ranks.map(({ hashed }) => Buffer.concat(hashed)),
    sent,
  };
}

const microbatches = fc
  .record({
    rows: fc.tuple(
      ...tables.map(({ rows }) => fc.uniqueArray(fc.nat(rows - 1), { maxLength: capacity })),
    ),
    spare: fc.nat(capacity),
    seed: fc.nat(1000),
  })
  .map(({ rows, spare, seed }): Microbatch => {
    const most = Math.max(...rows.map((some) => some.length));
    return { rows, seed, room: Math.min(capacity, most + spare) };
  });

describe("row parts", () => {
  for (const wire of exactWires) {
    it(`give the bits of whole parts on 1 to 4 ranks, step after step, as ${wire}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(microbatches, { minLength: 1, maxLength: 5 }), {
            minLength: 1,
            maxLength: 4,
          }),
          async (steps) => {
            const expected = (await sumSteps(1, steps, { byRows: false, wire })).ranks[0]!;
            let first: Buffer | null = null;
            for (const worldSize of [1, 2, 3, 4]) {
              for (const byRows of [false, true]) {
                const { ranks, hashed } = await sumSteps(worldSize, steps, { byRows, wire });
                // What is hashed is the same for every number of ranks.
                if (byRows) first ??= hashed[0]!;
                if (byRows) for (const bytes of hashed) assert.ok(bytes.equals(first!));
                for (const results of ranks) {
                  for (const [step, result] of results.entries()) {
                    assert.ok(
                      result.equals(expected[step]!),
                      `step ${step} on ${worldSize}, ${byRows}`,
                    );
                  }
                }
              }
            }
          },
        ),
        { numRuns: 15 },
      );
    });
  }

  for (const wire of exactWires) {
    it(`come to the same bits in any number of buckets, which come one by one, as ${wire}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(microbatches, { minLength: 1, maxLength: 5 }), {
            minLength: 1,
            maxLength: 3,
          }),
          fc.integer({ min: 2, max: 7 }),
          fc.integer({ min: 1, max: 4 }),
          async (steps, buckets, worldSize) => {
            const expected = (await sumSteps(1, steps, { byRows: false, wire })).ranks[0]!;
            for (const byRows of [false, true]) {
              const { ranks } = await sumSteps(worldSize, steps, { byRows, wire, buckets });
              for (const results of ranks) {
                for (const [step, result] of results.entries()) {
                  assert.ok(result.equals(expected[step]!), `step ${step}, ${byRows}`);
                }
              }
            }
          },
        ),
        { numRuns: 20 },
      );
    });
  }

  it("come to the same bits where owners make sums of what all ranks show", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(microbatches, { minLength: 1, maxLength: 6 }), {
          minLength: 1,
          maxLength: 3,
        }),
        fc.record({
          buckets: fc.integer({ min: 1, max: 4 }),
          pieceBytes: fc.constantFrom(12_288, 65_536),
          wire: fc.constantFrom(...exactWires),
        }),
        fc.integer({ min: 2, max: 5 }),
        async (steps, { wire, ...how }, worldSize) => {
          for (const byRows of [false, true]) {
            const alone = await sumSteps(1, steps, { byRows, wire });
            const { buckets } = how;
            const boards = await sumSteps(worldSize, steps, { byRows, wire, ...how });
            const pair = await sumSteps(2, steps, { byRows, wire, buckets, paired: true });
            for (const results of [...boards.ranks, ...pair.ranks])
              assert.deepEqual(results, alone.ranks[0]);
            for (const bytes of [...boards.hashed, ...pair.hashed])
              assert.ok(bytes.equals(alone.hashed[0]!));
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it("send the rows that somebody touches, and nothing of what is zero everywhere", async () => {
    const touching = (...rows: number[][]): Microbatch => ({ rows, room: capacity, seed: 3 });
    const step = [touching([1, 8], [4]), touching([8], []), touching([0], [])];
    const ofRows = 3 * 20 + 1030;
    for (const byRows of [false, true]) {
      const narrow = await sumSteps(3, [step], { byRows, wire: "int16" });
      assert.equal(narrow.sent, 3 * (ofRows + 33 + 7 + 1));
      // What does not come by rows is carried round.
      const { sent } = await sumSteps(3, [step], { byRows });
      assert.equal(sent, byRows ? 3 * ofRows : 0);
    }
  });

  it("refuse rows that do not exist or do not fit", () => {
    const sum = new ExactSum(partSizes, 1, [{ part: 0, rows: 9, capacity: 4 }]);
    const touch = (room: number, ...rows: number[]) =>
      sum.touch(0, [{ rows: Int32Array.from(rows), room }]);
    assert.throws(() => touch(4, 9), /1 rows of part 0: at most 4 of 9/);
    assert.throws(() => touch(1, 3, 4), RangeError);
    assert.throws(() => touch(5, 3), RangeError);
    assert.throws(() => sum.touch(0, []), /0 parts: expected 1/);
  });
});
