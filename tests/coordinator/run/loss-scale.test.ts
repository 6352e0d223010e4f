/** How the loss scale follows what becomes of steps: as `torch.amp.GradScaler` has it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { firstLossScale, grown, shrunk } from "../../../coordinator/run/loss-scale.ts";
import type { LossScale } from "../../../coordinator/run/loss-scale.ts";

function afterGood(scale: LossScale, steps: number): LossScale {
  return Array.from({ length: steps }).reduce<LossScale>((last) => grown(last), scale);
}

describe("loss scale", () => {
  it("starts at 65,536 and doubles after 2,000 good steps", () => {
    assert.equal(firstLossScale.scale, 65_536);
    assert.deepEqual(afterGood(firstLossScale, 1999), { ...firstLossScale, goodSteps: 1999 });
    assert.deepEqual(afterGood(firstLossScale, 2000), { ...firstLossScale, scale: 131_072 });
    assert.equal(afterGood(firstLossScale, 6000).scale, 8 * 65_536);
  });

  it("halves with each step that is skipped, and counts anew from there", () => {
    const once = shrunk(afterGood(firstLossScale, 1500));
    assert.deepEqual(once, { scale: 32_768, goodSteps: 0, skippedSteps: 1 });
    assert.equal(afterGood(once ?? firstLossScale, 1999).scale, 32_768);
    assert.equal(afterGood(once ?? firstLossScale, 2000).scale, 65_536);
  });

  it("is given up where no smaller one could help", () => {
    let scale: LossScale | null = firstLossScale;
    for (let step = 0; step < 16; step++) scale = scale === null ? null : shrunk(scale);
    assert.deepEqual(scale, { scale: 1, goodSteps: 0, skippedSteps: 16 });
    assert.equal(shrunk({ scale: 1, goodSteps: 0, skippedSteps: 16 }), null);
  });

  it("is a power of two within the range of float32, whatever happens", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant(null), fc.nat(300_000)), { maxLength: 30 }),
        (course) => {
          let scale = firstLossScale;
          for (const goodSteps of course) {
            // Good steps are counted in one go: only every 2,000th changes something.
            scale =
              goodSteps === null
                ? (shrunk(scale) ?? scale)
                : afterGood({ ...scale, goodSteps: 1999 }, 1 + Math.floor(goodSteps / 2000));
            assert.ok(Number.isInteger(Math.log2(scale.scale)));
            assert.ok(scale.scale >= 1 && Math.fround(scale.scale) < 2 ** 127);
          }
        },
      ),
    );
    let scale = { ...firstLossScale, scale: 2 ** 126 };
    scale = { ...scale, ...afterGood(scale, 2000) };
    assert.equal(scale.scale, 2 ** 126);
  });
});
