/** Plain sums of floats: the same bits on all ranks of a ring, and the sum to float32's precision. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FloatSum } from "../../../worker/exact/float-sum.ts";
import { sumFloats } from "../../../worker/ring/accumulate.ts";
import { collectivesOver } from "../../../worker/ring/collectives.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { bytesByPart } from "../../support/bytes-by-part.ts";
import { exactRingOver } from "../../support/exact-ring.ts";

const never = new AbortController().signal;
const rowSize = 5;
const rowParts = [
  { part: 1, rows: 9, capacity: 3 },
  { part: 4, rows: 6, capacity: 2 },
];
const partSizes = [7, 9 * rowSize, 40, 1, 6 * rowSize, 1];
const length = partSizes.reduce((sum, size) => sum + size, 0);
const room = 3;

/** Rows that a microbatch touches in the two row parts: some by several, some by none. */
function touchedBy(step: number, microbatch: number) {
  const rows = [
    Int32Array.of((step + microbatch) % 9, (step + microbatch + 4) % 9),
    Int32Array.of((microbatch * 2 + step) % 6),
  ];
  return rows.map((own, index) => ({ rows: own, room: index === 0 ? room : 2 }));
}

const valueOf = (step: number, microbatch: number, element: number): number =>
  Math.fround(Math.sin(element * 12.9898 + microbatch * 78.233 + step) * 10 ** ((element % 7) - 4));

/** Writes a microbatch's vector as an engine would, and adds it to the truth. */
function fill(slot: Float32Array, truth: Float64Array, step: number, microbatch: number): void {
  const touched = touchedBy(step, microbatch);
  const rowIndex = (part: number): number => rowParts.findIndex((row) => row.part === part);
  // Whole parts come first.
  const parts = [...partSizes.keys()];
  const inOrder = [
    ...parts.filter((part) => rowIndex(part) < 0),
    ...parts.filter((part) => rowIndex(part) >= 0),
  ];
  let at = 0;
  for (const part of inOrder) {
    const size = partSizes[part]!;
    const start = partSizes.slice(0, part).reduce((sum, one) => sum + one, 0);
    const given = touched[rowIndex(part)];
    const elements =
      given === undefined
        ? Array.from({ length: size }, (_, i) => i)
        : [...given.rows].flatMap((row) =>
            Array.from({ length: rowSize }, (_, i) => row * rowSize + i),
          );
    for (const [place, element] of elements.entries()) {
      const value = valueOf(step, microbatch, start + element);
      slot[at + place] = value;
      truth[start + element]! += value;
    }
    at += given === undefined ? size : given.room * rowSize;
  }
}

/** Puts a vector together from the pieces that are hashed. */
function fromPieces(parts: readonly (readonly Uint8Array[])[]): Float32Array {
  const vector = new Float32Array(length);
  let start = 0;
  for (const [part, pieces] of parts.entries()) {
    const [first = new Uint8Array(0), ...rows] = pieces.map((piece) => Uint8Array.from(piece));
    if (rowParts.some((row) => row.part === part)) {
      const numbers = new Uint32Array(first.buffer);
      for (const [place, row] of rows.entries()) {
        vector.set(new Float32Array(row.buffer), start + numbers[place]! * rowSize);
      }
    } else {
      vector.set(new Float32Array(first.buffer), start);
    }
    start += partSizes[part]!;
  }
  return vector;
}

/** Several steps on a ring; gives all ranks' vectors after each step, and the truth. */
async function sumSteps(rankCount: number, microbatchCount: number, steps: number) {
  const links = createMemoryRing(rankCount);
  const truths = Array.from({ length: steps }, () => new Float64Array(length));
  const ranks = await Promise.all(
    links.map(async (link, rank) => {
      const place = { rank, rankCount, link, collective: 0 };
      const collectives = collectivesOver(place);
      const ring = {
        ...exactRingOver(place),
        sumFloats: (vector: Float32Array, signal: AbortSignal) =>
          collectives.allReduce(vector, sumFloats, signal),
      };
      const sum = new FloatSum(partSizes, rowParts);
      const vectors: Float32Array[] = [];
      for (const [step, truth] of truths.entries()) {
        sum.begin();
        for (const [microbatch] of sum.groups(microbatchCount)) {
          const isOwn = microbatch % rankCount === rank;
          if (isOwn) {
            fill(sum.slot(0), truth, step, microbatch);
            sum.touch(0, touchedBy(step, microbatch));
          }
          const group = sum.openGroup(isOwn ? 1 : 0);
          for (const bucket of sum.buckets()) await group.add(bucket, ring, never);
        }
        await sum.finish(ring, never);
        sum.commit();
        vectors.push(sum.vector.slice());
        assert.deepEqual(fromPieces(bytesByPart(sum)), sum.vector, "pieces");
      }
      return vectors;
    }),
  );
  return { ranks, truths };
}

describe("FloatSum", () => {
  for (const rankCount of [1, 2, 3, 5]) {
    it(`is the sum, and the same bits on all of ${rankCount} ranks, step after step`, async () => {
      for (const microbatchCount of [1, 4, 7]) {
        const { ranks, truths } = await sumSteps(rankCount, microbatchCount, 3);
        for (const [step, truth] of truths.entries()) {
          const first = ranks[0]![step]!;
          for (const vectors of ranks) assert.deepEqual(vectors[step], first);
          for (const [i, value] of truth.entries()) {
            const tolerance = 1e-6 * 10 ** ((i % 7) - 4) * microbatchCount;
            assert.ok(Math.abs(first[i]! - value) <= tolerance, `${i}: ${first[i]} for ${value}`);
          }
        }
      }
    });
  }
});
