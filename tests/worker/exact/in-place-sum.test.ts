/** Goal: a rank that is alone, whose sums lie where its microbatch was, has the bits of one that keeps them apart. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { exactWires, wireForms } from "../../../foundation/gradient-wire.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { bytesByPart } from "../../support/bytes-by-part.ts";
import { exactRingOver } from "../../support/exact-ring.ts";

const never = new AbortController().signal;
/** [row part of 8 × 16 | 40 | 2 × 1024 + 52 | 1]: the rows' end is a multiple of 64 bytes. */
const partSizes = [8 * 16, 40, 2100, 1];
const table = { part: 0, rows: 8, capacity: 3 };
const wholeLength = 40 + 2100 + 1;
const rowSize = 16;

/** A microbatch: the rows that it touches, and what its values are made from. */
interface Microbatch {
  readonly rows: readonly number[];
  readonly seed: number;
}

interface Step {
  readonly microbatches: readonly Microbatch[];
  readonly isAlone: boolean;
  readonly isCommitted: boolean;
}

/** Whole parts, then the rows: zeros of both signs, a block that is zero in every other microbatch. */
function vectorOf({ rows, seed }: Microbatch): Float32Array {
  return Float32Array.from({ length: wholeLength + rows.length * rowSize }, (_, i) => {
    if (i % 5 === 0) return i % 2 === 0 ? 0 : -0;
    if (i >= 40 && i < 40 + 1024 && seed % 2 === 0) return -0;
    return Math.sin(i * 12.9898 + seed * 78.233) * 10 ** ((i % 9) - 6);
  });
}

const steps = fc.array(
  fc.record({
    microbatches: fc.array(
      fc.record({
        rows: fc.uniqueArray(fc.nat(7), { maxLength: table.capacity }),
        seed: fc.nat(1000),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    isAlone: fc.boolean(),
    isCommitted: fc.boolean(),
  }),
  { minLength: 1, maxLength: 5 },
);

/** What is left of each step: the vector, what it is hashed by, and its squares. */
async function sumSteps(
  given: readonly Step[],
  how: {
    readonly wire: (typeof exactWires)[number];
    readonly buckets: number;
    readonly everApart: boolean;
  },
) {
  const form = { form: wireForms[how.wire], wideFrom: 3 };
  const sum = new ExactSum(partSizes, 4, [table], form);
  const [link] = createMemoryRing(1);
  const ring = exactRingOver({ rank: 0, rankCount: 1, link: link!, collective: 0 });
  const results = [];
  for (const [step, { microbatches, isAlone, isCommitted }] of given.entries()) {
    for (const [k, microbatch] of microbatches.entries()) {
      sum.slot(k).set(vectorOf(microbatch));
      sum.touch(k, [{ rows: Int32Array.from(microbatch.rows), room: microbatch.rows.length }]);
      sum.roundBy(k, microbatch.seed);
    }
    sum.begin(isAlone && !how.everApart);
    const group = sum.openGroup(microbatches.length, microbatches.length);
    for (const bucket of sum.buckets(how.buckets, microbatches.length)) {
      await group.add(bucket, ring, never);
    }
    results.push({
      vector: Buffer.from(sum.vector.slice().buffer),
      hashed: Buffer.concat(bytesByPart(sum).flat()),
      squares: sum.pieces.map((_, piece) => sum.squaresOf(piece)),
    });
    if (isCommitted) sum.commit(step);
  }
  return results;
}

describe("a sum in place", () => {
  it("has the bits of one that lies apart, whatever was before, in any number of buckets and wire format", async () => {
    const forms = fc.record({
      wire: fc.constantFrom(...exactWires),
      buckets: fc.integer({ min: 1, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(steps, forms, async (given, form) => {
        const apart = await sumSteps(given, { ...form, everApart: true });
        assert.deepEqual(await sumSteps(given, { ...form, everApart: false }), apart);
      }),
      { numRuns: 60 },
    );
  });

  it("takes the memory of its microbatch, and keeps none of a step before", async () => {
    const sum = new ExactSum(partSizes, 1, [table]);
    const keptStep = (): number | null => sum.committed?.step ?? null;
    sum.begin(true);
    assert.equal(sum.vector.byteOffset + 8 * rowSize * 4, sum.slot(0).byteOffset);
    sum.commit(1);
    assert.equal(keptStep(), null);
    sum.begin();
    assert.notEqual(sum.vector.byteOffset + 8 * rowSize * 4, sum.slot(0).byteOffset);
    sum.commit(2);
    assert.equal(keptStep(), 2);
    sum.begin(true);
    assert.equal(keptStep(), null);
  });

  it("is not for a rank that has others", async () => {
    const sum = new ExactSum(partSizes, 1, [table]);
    sum.begin(true);
    sum.touch(0, [{ rows: new Int32Array(0), room: 0 }]);
    const [link] = createMemoryRing(2);
    const ring = exactRingOver({ rank: 0, rankCount: 2, link: link!, collective: 0 });
    await assert.rejects(sum.addGroup(1, 2, ring, never), /Cannot sum in place/);
  });

  it("lies apart where rows lie between whole parts", () => {
    const sum = new ExactSum([40, 8 * 16, 5], 1, [{ ...table, part: 1 }]);
    sum.begin(true);
    sum.commit(1);
    assert.equal(sum.committed?.step, 1);
  });
});
