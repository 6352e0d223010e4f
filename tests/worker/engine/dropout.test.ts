/** Dropout masks: the right share is dropped, nothing depends on its neighbour, and the same place gives the same bits. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import * as tf from "@tensorflow/tfjs";
import { dropoutMask, siteSeed } from "../../../worker/engine/dropout.ts";
import { dropoutSeed } from "../../../worker/engine/dropout-seed.ts";
import { startBackend, type TensorFlowBackend } from "../../../worker/engine/tensorflow-backend.ts";
import { bindingUnderTest } from "../../support/engine-under-test.ts";

const length = 200_000;
let backend: TensorFlowBackend;
before(async () => {
  backend = startBackend(await bindingUnderTest());
});

interface Place {
  readonly job?: bigint;
  readonly step?: number;
  readonly microbatch?: number;
  readonly site?: string;
  readonly rate?: number;
  readonly shape?: readonly number[];
}

function maskAt(place: Place): Float32Array {
  const { job = 42n, step = 1, microbatch = 0, site = "a", rate = 0.1, shape = [length] } = place;
  return tf.tidy(() => {
    const seed = tf.tensor1d(dropoutSeed(job, step, microbatch), "int32");
    return Float32Array.from(
      dropoutMask(backend, siteSeed(seed, site), { shape, rate }).dataSync(),
    );
  });
}

const droppedShare = (mask: Float32Array): number =>
  mask.reduce((sum, value) => sum + (value === 0 ? 1 : 0), 0) / mask.length;

/** How many standard deviations the share of places where both drop is off, if they are independent. */
function dependence(left: Float32Array, right: Float32Array): number {
  let both = 0;
  for (const [i, value] of left.entries()) if (value === 0 && right[i] === 0) both += 1;
  const expected = droppedShare(left) * droppedShare(right);
  const deviation = Math.sqrt((expected * (1 - expected)) / left.length);
  return Math.abs(both / left.length - expected) / deviation;
}

/** Five standard deviations: one honest run in two million fails, and a run is always the same. */
const deviationsMax = 5;

describe("dropoutMask", () => {
  for (const rate of [0.1, 0.25, 0.5]) {
    it(`drops a share of ${rate} and scales the rest`, () => {
      const mask = maskAt({ rate });
      const deviation = Math.sqrt((rate * (1 - rate)) / length);
      assert.ok(Math.abs(droppedShare(mask) - rate) < deviationsMax * deviation + 2 ** -16);
      const kept = new Set(mask.filter((value) => value !== 0));
      assert.deepEqual([...kept], [Math.fround(1 / (1 - rate))]);
    });
  }

  it("drops alike everywhere in the mask", () => {
    const mask = maskAt({});
    for (let part = 0; part < 10; part++) {
      const share = droppedShare(mask.subarray((part * length) / 10, ((part + 1) * length) / 10));
      assert.ok(
        Math.abs(share - 0.1) < deviationsMax * Math.sqrt(0.09 / (length / 10)),
        `${share}`,
      );
    }
  });

  it("has nothing to do with another job, step, microbatch or site, nor with its neighbours", () => {
    const mask = maskAt({});
    const others = [
      maskAt({ job: 43n }),
      maskAt({ step: 2 }),
      maskAt({ microbatch: 1 }),
      maskAt({ step: 0, microbatch: 1 }),
      maskAt({ site: "b" }),
    ];
    for (const other of others) assert.ok(dependence(mask, other) < deviationsMax);
    // One random word decides two elements: they are half a mask apart.
    for (const shift of [1, 2, 8, 384, length / 2]) {
      const size = length - shift;
      const far = dependence(mask.slice(0, size), mask.slice(shift));
      assert.ok(far < deviationsMax, `${shift} apart: ${far}`);
    }
  });

  it("gives the same bits at the same place, whatever the shape", () => {
    const mask = maskAt({ step: 7, microbatch: 3 });
    assert.deepEqual(maskAt({ step: 7, microbatch: 3 }), mask);
    assert.deepEqual(maskAt({ step: 7, microbatch: 3, shape: [length / 100, 100] }), mask);
  });

  it("fills shapes of odd size, and drops nothing at rate 0", () => {
    assert.equal(maskAt({ shape: [3, 5, 7] }).length, 105);
    assert.ok(maskAt({ rate: 0, shape: [999] }).every((value) => value === 1));
  });
});

describe("dropoutSeed", () => {
  it("differs for all places of a long run", () => {
    const seen = new Set<string>();
    for (let step = 0; step < 2000; step++) {
      for (let microbatch = 0; microbatch < 16; microbatch++) {
        seen.add(dropoutSeed(42n, step, microbatch).join());
      }
    }
    assert.equal(seen.size, 2000 * 16);
  });
});
