import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { dealMicrobatches } from "../../../coordinator/data/deal.ts";
import { permutation } from "../../../coordinator/data/permutation.ts";
import { planEpoch, planEvaluation, type EpochOptions } from "../../../coordinator/data/sampler.ts";

/** A sample's length that looks random but is not. */
function lengthOf(index: number): number {
  return (Math.imul(index + 1, 0x9e3779b1) >>> 0) % 500;
}

const epochs: fc.Arbitrary<EpochOptions> = fc
  .record({
    size: fc.integer({ min: 0, max: 1500 }),
    seed: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    epoch: fc.nat({ max: 20 }),
    trainBatchSize: fc.integer({ min: 1, max: 40 }),
    microbatchSize: fc.integer({ min: 1, max: 12 }),
    grouped: fc.boolean(),
  })
  .map(({ grouped, ...options }) => (grouped ? { ...options, lengthOf: lengthOf } : options));

function allBatches(options: EpochOptions): (readonly (readonly number[])[])[] {
  const plan = planEpoch(options);
  return Array.from({ length: plan.batchCount }, (_, index) => plan.batch(index));
}

describe("permutation", () => {
  it("takes every value once, for any size and key", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.array(fc.nat()), (size, key) => {
        const order = permutation(size, key);
        const seen = new Set(Array.from({ length: size }, (_, position) => order(position)));
        assert.equal(seen.size, size);
        assert.ok([...seen].every((value) => value >= 0 && value < size));
      }),
      { numRuns: 60 },
    );
  });

  it("stays the same from version to version", () => {
    const order = permutation(10, [42, 0, 1]);
    assert.deepEqual(
      Array.from({ length: 10 }, (_, position) => order(position)),
      [7, 3, 6, 1, 5, 8, 2, 0, 4, 9],
    );
    const large = permutation(4_000_000_000, [42, 3]);
    assert.deepEqual(
      [large(0), large(1), large(3_999_999_999)],
      [199_775_021, 694_110_107, 3_941_241_530],
    );
  });

  for (const size of [5, 100]) {
    it(`puts each of ${size} values at each position equally often`, () => {
      const draws = 200 * size;
      const counts = new Float64Array(size * size);
      for (let key = 0; key < draws; key++) {
        const order = permutation(size, [key]);
        for (let position = 0; position < size; position++) {
          counts[position * size + order(position)]! += 1;
        }
      }
      const expected = draws / size;
      const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      const freedom = (size - 1) ** 2;
      // Five standard deviations of the chi-square distribution.
      assert.ok(chiSquare < freedom + 5 * Math.sqrt(2 * freedom), `chi-square ${chiSquare}`);
    });
  }

  it("takes all 24 orders of four values equally often", () => {
    const counts = new Map<string, number>();
    const draws = 24_000;
    for (let key = 0; key < draws; key++) {
      const order = permutation(4, [7, key]);
      const name = [0, 1, 2, 3].map(order).join("");
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    assert.equal(counts.size, 24);
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
    assert.ok(chiSquare < 23 + 5 * Math.sqrt(46), `chi-square ${chiSquare}`);
  });
});

describe("planEpoch", () => {
  it("uses every sample exactly once, in batches of the asked size, the last one short", () => {
    fc.assert(
      fc.property(epochs, (options) => {
        const batches = allBatches(options);
        assert.deepEqual(
          batches.flat(2).sort((left, right) => left - right),
          Array.from({ length: options.size }, (_, index) => index),
        );
        batches.forEach((batch, index) => {
          const size = batch.flat().length;
          const isLast = index === batches.length - 1;
          const left = options.size - index * options.trainBatchSize;
          assert.equal(size, isLast ? left : options.trainBatchSize);
          batch.slice(0, -1).forEach((micro) => assert.equal(micro.length, options.microbatchSize));
          assert.ok((batch.at(-1)?.length ?? 0) > 0);
        });
      }),
    );
  });

  it("gives the same batch whichever is asked first", () => {
    fc.assert(
      fc.property(epochs, fc.nat(), (options, which) => {
        const batches = allBatches(options);
        if (batches.length === 0) return;
        const index = which % batches.length;
        assert.deepEqual(planEpoch(options).batch(index), batches[index]);
      }),
    );
  });

  it("gives the same global batches for any microbatch and any number of workers", () => {
    fc.assert(
      fc.property(epochs, fc.integer({ min: 1, max: 9 }), (options, worldSize) => {
        const whole = allBatches({ ...options, microbatchSize: options.trainBatchSize });
        allBatches(options).forEach((batch, index) => {
          const dealt = dealMicrobatches(batch.length, worldSize);
          const computed = dealt.flatMap((own) =>
            own.map((micro) => ({ micro, at: batch[micro]! })),
          );
          computed.sort((left, right) => left.micro - right.micro);
          assert.deepEqual(
            computed.flatMap(({ at }) => at),
            whole[index]?.flat(),
          );
        });
      }),
    );
  });

  it("changes with seed and epoch", () => {
    const base = { size: 500, seed: 1, epoch: 0, trainBatchSize: 8, microbatchSize: 4 };
    const first = JSON.stringify(allBatches(base));
    assert.notEqual(first, JSON.stringify(allBatches({ ...base, epoch: 1 })));
    assert.notEqual(first, JSON.stringify(allBatches({ ...base, seed: 2 })));
    assert.notEqual(first, JSON.stringify(allBatches({ ...base, seed: 1 + 2 ** 32 })));
  });

  it("groups samples of like length and keeps the order of batches mixed", () => {
    const options = { size: 6400, seed: 3, epoch: 0, trainBatchSize: 32, microbatchSize: 8 };
    const spread = (batches: readonly (readonly (readonly number[])[])[]): number =>
      batches
        .map((batch) => batch.flat().map(lengthOf))
        .reduce((sum, lengths) => sum + Math.max(...lengths) - Math.min(...lengths), 0) /
      batches.length;
    const grouped = allBatches({ ...options, lengthOf: lengthOf });
    assert.ok(spread(allBatches(options)) > 400);
    assert.ok(spread(grouped) < 30);
    const [first, ...others] = grouped;
    const window = others.slice(0, 49).map((batch) => Math.max(...batch.flat().map(lengthOf)));
    assert.ok(Math.max(...first!.flat().map(lengthOf)) >= Math.max(...window), "longest first");
    const firsts = grouped.map((batch) => lengthOf(batch[0]?.[0] ?? 0));
    const rises = firsts.filter((length, index) => index > 0 && length > firsts[index - 1]!).length;
    assert.ok(rises > 0.4 * firsts.length && rises < 0.6 * firsts.length, `${rises} rises`);
  });

  it("refuses sizes that are no counts", () => {
    const base = { size: 10, seed: 1, epoch: 0, trainBatchSize: 2, microbatchSize: 1 };
    assert.throws(() => planEpoch({ ...base, trainBatchSize: 0 }), RangeError);
    assert.throws(() => planEpoch({ ...base, seed: -1 }), RangeError);
    assert.throws(() => planEpoch({ ...base, size: Number.NaN }), RangeError);
    assert.throws(() => planEpoch(base).batch(5), RangeError);
  });
});

describe("planEvaluation", () => {
  it("counts each sample once, sorted or not", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2000 }),
        fc.integer({ min: 1, max: 17 }),
        fc.boolean(),
        (size, microbatchSize, sorted) => {
          const plan = planEvaluation({
            size,
            microbatchSize,
            ...(sorted ? { lengthOf: lengthOf } : {}),
          });
          const samples = Array.from({ length: plan.microbatchCount }, (_, index) =>
            plan.microbatch(index),
          );
          assert.ok(samples.every((micro) => micro.length > 0 && micro.length <= microbatchSize));
          assert.deepEqual(
            samples.flat().sort((left, right) => left - right),
            Array.from({ length: size }, (_, index) => index),
          );
        },
      ),
    );
  });
});

describe("dealMicrobatches", () => {
  it("deals each once, evenly to within one", () => {
    fc.assert(
      fc.property(fc.nat({ max: 200 }), fc.integer({ min: 1, max: 20 }), (count, worldSize) => {
        const dealt = dealMicrobatches(count, worldSize);
        assert.equal(dealt.length, worldSize);
        assert.deepEqual(
          dealt.flat().sort((left, right) => left - right),
          Array.from({ length: count }, (_, index) => index),
        );
        const sizes = dealt.map((own) => own.length);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      }),
    );
  });

  it("deals seven to three as 3, 2, 2", () => {
    assert.deepEqual(dealMicrobatches(7, 3), [
      [0, 3, 6],
      [1, 4],
      [2, 5],
    ]);
    assert.throws(() => dealMicrobatches(4, 0), RangeError);
  });
});
