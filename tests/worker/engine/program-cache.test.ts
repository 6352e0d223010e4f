/** Recorded programs are kept on disk: used again, checked, keyed by what decides them, recorded by one process only. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFile, mkdir, mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parseTwoTowerConfig, twoTowerTensors } from "../../../foundation/families/two-tower.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import type { Engine, PrepareOptions } from "../../../worker/engine/engine.ts";
import { programKey, removeOldPrograms } from "../../../worker/engine/program-cache.ts";
import { createTwoTower } from "../../../worker/model/two-tower.ts";
import {
  bindingUnderTest,
  engineUnderTest,
  jobOf,
  sumStep,
} from "../../support/engine-under-test.ts";

const config = {
  model_type: "two-tower",
  left_size: 3,
  right_size: 5,
  hidden_size: 6,
  embedding_size: 4,
};
const specs = twoTowerTensors(parseTwoTowerConfig(config));
const root = fileURLToPath(new URL("../../../", import.meta.url));

describe("the programs' cache", () => {
  let engine: Engine;
  let modelsMade = 0;
  let cacheFolder: string;
  let job: PrepareOptions;
  before(async () => {
    engine = await engineUnderTest((options) => {
      modelsMade += 1;
      return createTwoTower(options);
    });
  });
  beforeEach(async () => {
    cacheFolder = await mkdtemp(join(tmpdir(), "ringmaster-programs-test-"));
    job = jobOf({ family: "two-tower", config, specs, cacheFolder });
    modelsMade = 0;
  });
  afterEach(() => rm(cacheFolder, { recursive: true, force: true }));
  after(() => engine.close());

  const stored = async (): Promise<string[]> => await readdir(join(cacheFolder, "programs"));

  it("serves a second start without the model, with the same bits", async () => {
    const model = createTwoTower(job);
    const batches = [0, 1].map((v) => model.exampleBatch("values", "train", v === 0 ? 0 : 1));
    const results = [];
    for (const fromCache of [false, true]) {
      const prepared = await engine.prepare(job);
      assert.equal(prepared.fromCache, fromCache);
      await engine.loadState({ parameters: initialState(specs, 1), step: 0 });
      results.push(await sumStep(engine, prepared, batches));
    }
    assert.equal(modelsMade, 1);
    assert.deepEqual(results[0], results[1]);
    assert.equal((await stored()).length, 1);
  });

  it("lets go of the sets that were used least lately", async () => {
    await engine.prepare(job);
    const [key = ""] = await stored();
    const folder = join(cacheFolder, "programs");
    const long = new Date(0);
    for (let i = 0; i < 70; i++) {
      await mkdir(join(folder, `old-${i}`));
      await utimes(join(folder, `old-${i}`), long, long);
    }
    removeOldPrograms(cacheFolder);
    const left = await stored();
    assert.equal(left.length, 64);
    assert.ok(left.includes(key));
  });

  it("records again what was damaged", async () => {
    await engine.prepare(job);
    const [key = ""] = await stored();
    await appendFile(join(cacheFolder, "programs", key, "saved_model.pb"), "x");
    assert.equal((await engine.prepare(job)).fromCache, false);
    assert.equal((await engine.prepare(job)).fromCache, true);
  });

  it("is keyed by everything that decides the programs, and by nothing else", () => {
    const onCpu = { TF_Version: "2.21.0", isUsingGpuDevice: () => false };
    const others = [
      { ...onCpu, TF_Version: "2.22.0" },
      { ...onCpu, isUsingGpuDevice: () => true },
    ];
    const key = (changes: Partial<PrepareOptions>): string =>
      programKey({ ...job, ...changes }, onCpu);
    assert.equal(key({ seed: 8n, cacheFolder: "/elsewhere" }), key({}));
    const frozen = jobOf({ family: "two-tower", config, specs, frozen: new Set([specs[0]!.name]) });
    const changes: Partial<PrepareOptions>[] = [
      { configJson: JSON.stringify({ ...config, temperature: 0.1 }) },
      { tableJson: frozen.tableJson },
      { optimizer: { ...job.optimizer, beta1: 0.8 } },
      { optimizer: { ...job.optimizer, weightDecay: 0 } },
      { microbatchSize: 3 },
      { evalMicrobatchSize: 3 },
      { microbatchesPerStep: 3 },
      { bucketLengths: [4] },
      { packed: true },
      { labelSmoothing: 0.1 },
      { convolutionTable: 1 },
      { precision: "bf16" },
      { precision: "fp16" },
      { gradientCheckpointing: true },
      { training: false },
    ];
    const keys = [key({}), ...others.map((other) => programKey(job, other)), ...changes.map(key)];
    assert.equal(new Set(keys).size, keys.length);
  });

  it("has one of several processes record, and the others wait", async () => {
    const script = join(root, "tests/support/prepare-programs.ts");
    const { seed: _, ...plain } = job;
    const bindingFile = await bindingUnderTest();
    const outputs = await Promise.all(
      [0, 1, 2].map(async () => {
        const run = promisify(execFile);
        const args = ["--import", "tsx", script, bindingFile, JSON.stringify(plain)];
        return (await run(process.execPath, args, { cwd: root })).stdout;
      }),
    );
    const came = outputs.map((output) => (JSON.parse(output) as { fromCache: boolean }).fromCache);
    assert.deepEqual(
      came.toSorted((left, right) => Number(left) - Number(right)),
      [false, true, true],
    );
    assert.equal((await stored()).length, 1);
  });
});
