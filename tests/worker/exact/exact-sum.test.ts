/** One sum, however many workers share the microbatches. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { layOutBlocks, magnitudeBits } from "../../../worker/exact/block-layout.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { exactWires, wireForms, type GradientWire } from "../../../foundation/gradient-wire.ts";
import { roundingKey } from "../../../worker/exact/rounding-key.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { exactRingOver } from "../../support/exact-ring.ts";

const parts = [1500, 7, 1, 4096, 33];
const length = parts.reduce((sum, size) => sum + size, 0);
const never = new AbortController().signal;

function gradientOf(microbatch: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => {
    const value = Math.sin(i * 12.9898 + microbatch * 78.233) * 10 ** ((i % 9) - 6);
    return i % 11 === 0 ? 0 : value;
  });
}

/** Bytes of the sum, and what rank 0 has sent for it. */
async function sumOver(
  rankCount: number,
  microbatchCount: number,
  wire: GradientWire = "int32",
): Promise<{ readonly sum: Buffer; readonly sentBytes: number }> {
  const links = createMemoryRing(rankCount);
  const places = links.map((link, rank) => ({ rank, rankCount, link, collective: 0 }));
  const results = await Promise.all(
    places.map(async (place) => {
      const slots = Math.ceil(microbatchCount / rankCount);
      const form = { form: wireForms[wire], wideFrom: parts.length - 1 };
      const sum = new ExactSum(parts, slots, [], form);
      const ring = exactRingOver(place);
      sum.begin();
      for (const [first, end] of sum.groups(microbatchCount)) {
        let held = 0;
        for (let m = first; m < end; m++) {
          if (m % rankCount !== place.rank) continue;
          sum.slot(held).set(gradientOf(m));
          sum.roundBy(held++, roundingKey(7n, 3, m));
        }
        await sum.addGroup(held, end - first, ring, never);
      }
      return Buffer.from(
        new Uint8Array(sum.vector.buffer, sum.vector.byteOffset, length * 4).slice(),
      );
    }),
  );
  for (const result of results) assert.ok(result.equals(results[0]!));
  return { sum: results[0]!, sentBytes: links[0]!.sentBytes };
}

function floatsOf(bytes: Buffer): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}

describe("ExactSum", () => {
  for (const wire of exactWires) {
    it(`gives the same bits on 1 to 9 ranks, more ranks than microbatches included, as ${wire}`, async () => {
      for (const microbatchCount of [1, 4, 7]) {
        const { sum: alone } = await sumOver(1, microbatchCount, wire);
        for (let ranks = 2; ranks <= 9; ranks++) {
          const { sum } = await sumOver(ranks, microbatchCount, wire);
          assert.ok(sum.equals(alone), `${microbatchCount} on ${ranks}`);
        }
      }
    });

    it(`gives the same bits for a step of several groups as ${wire}`, async () => {
      const { sum: alone } = await sumOver(1, 150, wire);
      assert.ok((await sumOver(3, 150, wire)).sum.equals(alone));
    });
  }

  it("is the sum, to the bits of its wire, and wide parts always to 32", async () => {
    const gradients = [0, 1, 2, 3].map(gradientOf);
    const { firstBlocks } = layOutBlocks(parts);
    assert.equal(firstBlocks.length, parts.length + 1);
    const narrowLength = length - parts.at(-1)!;
    for (const wire of exactWires) {
      // Each of four is wrong by less than one unit, of which a block's largest has at least half of 2^bits.
      const unit = 2 ** (1 - magnitudeBits(4, wireForms[wire].bits));
      const tolerance = Math.max(4 * unit, 1e-6);
      const result = floatsOf((await sumOver(2, 4, wire)).sum);
      const { bounds } = layOutBlocks(parts, [], wireForms[wire]);
      let worst = 0;
      for (let block = 0; block + 1 < bounds.length; block++) {
        const isWide = bounds[block]! >= narrowLength;
        const range = Array.from(
          { length: bounds[block + 1]! - bounds[block]! },
          (_, i) => bounds[block]! + i,
        );
        const largest = Math.max(
          ...range.flatMap((i) => gradients.map((gradient) => Math.abs(gradient[i]!))),
        );
        for (const i of range) {
          const truth = gradients.reduce((sum, gradient) => sum + gradient[i]!, 0);
          const error = largest === 0 ? 0 : Math.abs(result[i]! - truth) / largest;
          assert.ok(error <= (isWide ? 1e-6 : tolerance), `${wire}, ${i}: ${error}`);
          if (!isWide) worst = Math.max(worst, error);
        }
      }
      assert.ok(
        wire === "int32" || worst > tolerance / 10,
        `${wire} is better than its bits: ${worst}`,
      );
    }
  });

  it("sends as many bytes as its wire has", async () => {
    const sent = async (wire: GradientWire) => (await sumOver(2, 4, wire)).sentBytes;
    const [whole, half, quarter] = [
      await sent("int32"),
      await sent("int16"),
      await sent("int8-block"),
    ];
    assert.ok(Math.abs(half / whole - 0.5) < 0.02, `${half} of ${whole}`);
    assert.ok(Math.abs(quarter / whole - 0.25) < 0.02, `${quarter} of ${whole}`);
  });

  it("rounds narrow values up and down so that their average is right", async () => {
    const value = 0.3;
    const rounds = 4000;
    let total = 0;
    const sum = new ExactSum([2, 1], 1, [], { form: wireForms["int8-block"], wideFrom: 1 });
    const ring = exactRingOver({
      rank: 0,
      rankCount: 1,
      link: createMemoryRing(1)[0]!,
      collective: 0,
    });
    const seen = new Set<number>();
    for (let step = 0; step < rounds; step++) {
      sum.begin();
      sum.slot(0).set([64, value, 1]);
      sum.roundBy(0, roundingKey(1n, step, 0));
      await sum.addGroup(1, 1, ring, never);
      total += sum.vector[1]!;
      seen.add(sum.vector[1]!);
    }
    assert.deepEqual(seen, new Set([0, 1]));
    // The standard error of the mean is √(0.3 · 0.7 / 4000) = 0.0072.
    assert.ok(Math.abs(total / rounds - value) < 0.03, `${total / rounds}`);
  });
});
