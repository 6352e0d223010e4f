/** What a machine says of its computing before it may join: of records of values, by the real engine. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  parseTinyConvnetConfig,
  tinyConvnetTensors,
} from "../../foundation/families/tiny-convnet.ts";
import { parseTwoTowerConfig, twoTowerTensors } from "../../foundation/families/two-tower.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";
import { PrepareSchema, type SelfTest } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Engine, PreparedPrograms } from "../../worker/engine/engine.ts";
import { TensorHasher } from "../../worker/hashing/tensor-hasher.ts";
import { CollationLog } from "../../worker/input/collation-log.ts";
import { stepPhases } from "../../worker/job.ts";
import { createValuesCollator } from "../../worker/model/collate-values.ts";
import { runSelfTest } from "../../worker/self-test.ts";
import { engineUnderTest, jobOf } from "../support/engine-under-test.ts";
import { tinyConvnet } from "../support/tiny-convnet.ts";

const twoTower = {
  model_type: "two-tower",
  left_size: 5,
  right_size: 3,
  hidden_size: 8,
  embedding_size: 4,
};
const microbatchSize = 4;
const microbatchesPerStep = 2;

for (const { config, specs } of [
  { config: tinyConvnet, specs: tinyConvnetTensors(parseTinyConvnetConfig(tinyConvnet)) },
  { config: twoTower, specs: twoTowerTensors(parseTwoTowerConfig(twoTower)) },
]) {
  describe(`a machine's test of itself with ${config.model_type}`, () => {
    let engine: Engine;
    let prepared: PreparedPrograms;
    before(async () => {
      engine = await engineUnderTest();
      const family = config.model_type;
      prepared = await engine.prepare(jobOf({ family, config, specs, microbatchSize }));
    });
    after(() => engine.close());

    const test = (tested: Engine, zeroStage: 0 | 1 = 0): Promise<SelfTest> => {
      const prepare = create(PrepareSchema, { modelConfigJson: JSON.stringify(config) });
      const collator = createValuesCollator(config);
      const job = {
        engine: tested,
        input: {
          log: new CollationLog(),
          collate: (...[samples, size]: Parameters<typeof collator.collate>) =>
            Promise.resolve(collator.collate(samples, size)),
          close: () => Promise.resolve(),
        },
        table: layOutTable(specs),
        phases: stepPhases(prepared.phases),
        reductionParts: prepared.reductionParts,
        microbatchSize,
        microbatchesPerStep,
        zeroStage,
      };
      return runSelfTest(prepare, job, new TensorHasher(), new AbortController().signal);
    };

    /** The engine with something else in the place of some of its calls. */
    const but = (changes: Partial<Engine>): Engine =>
      new Proxy(engine, {
        get: (target, name: keyof Engine) => changes[name] ?? target[name].bind(target),
      });

    it("comes to the same hashes again", async () => {
      const { gradient, update } = await test(engine);
      const again = await test(engine);
      assert.deepEqual([again.gradient, again.update], [gradient, update]);
      assert.notEqual(gradient, update);
    });

    it("computes a gradient of every tensor", async () => {
      let vector = new Float32Array(0);
      const watched = but({
        runPhase: async (phase, batch, at, feeds) => {
          const result = await engine.runPhase(phase, batch, at, feeds);
          vector = Float32Array.from(feeds.into);
          return result;
        },
      });
      await test(watched);
      assert.ok(vector.every((value) => Number.isFinite(value)));
      let start = 0;
      for (const size of prepared.reductionParts) {
        const part = vector.subarray(start, start + size);
        assert.ok(
          part.some((value) => value !== 0),
          `part at ${start} is zero`,
        );
        start += size;
      }
    });

    it("tells a bit of another gradient, and of another update", async () => {
      const right = await test(engine);
      const otherGradient = but({
        runPhase: async (phase, batch, at, feeds) => {
          const result = await engine.runPhase(phase, batch, at, feeds);
          const { buffer, byteOffset, length } = feeds.into;
          const words = new Int32Array(buffer, byteOffset, length);
          words[3] = (words[3] ?? 0) ^ 1;
          return result;
        },
      });
      const first = await test(otherGradient);
      assert.notEqual(first.gradient, right.gradient);
      assert.equal(first.update, right.update);
      const otherUpdate = but({
        update: (options) =>
          engine.update({ ...options, learningRate: options.learningRate * (1 + 2 ** -20) }),
      });
      const second = await test(otherUpdate);
      assert.equal(second.gradient, right.gradient);
      assert.notEqual(second.update, right.update);
    });

    it("comes to the same hashes where moments are shared out, and the share is all of them", async () => {
      const whole = await test(engine);
      const sharing = await engineUnderTest();
      const family = config.model_type;
      await sharing.prepare(jobOf({ family, config, specs, microbatchSize, zeroStage: 1 }));
      const share = await test(sharing, 1);
      await sharing.close();
      assert.deepEqual([share.gradient, share.update], [whole.gradient, whole.update]);
    });
  });
}
