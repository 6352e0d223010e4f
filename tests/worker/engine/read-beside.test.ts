/** A state that is read out beside what is computed next: the same bits as one that is waited for, whatever comes after. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { readLent } from "../../../coordinator/server/lent-memory.ts";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { wholeShare } from "../../../foundation/parameters/shares.ts";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import type { Engine, EngineState } from "../../../worker/engine/engine.ts";
import { LentMemorySchema } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { MemoryFiles, type MemoryFile } from "../../../worker/exact/memory-files.ts";
import { installedBinding } from "../../support/installed-binding.ts";
import { WriteMarks } from "../../../worker/engine/write-marks.ts";
import { createModel } from "../../../worker/model/families.ts";
import { waitUntil } from "../../../worker/patience.ts";
import {
  deviceUnderTest,
  engineUnderTest,
  jobOf,
  sumStep,
} from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";

const config: object = JSON.parse(tinyConfig({ num_labels: 2 })) as object;
const form = {
  family: "bert",
  config,
  specs: bertFamily.tensors({ ...config }),
  frozen: new Set(["bert.embeddings.position_embeddings.weight"]),
  bucketLengths: [8, 16],
  maxLength: 16,
};
const parts = [0, 1, 2];
const engines: Engine[] = [];
/** Floats of a page of memory. */
const pageElements = Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" })) / 4;

/** What others find in a file. */
async function read({ bytes: _bytes, ...file }: MemoryFile, length: number): Promise<Float32Array> {
  const values = new Float32Array(length);
  const target = new Uint8Array(values.buffer);
  const bytes = BigInt(target.byteLength);
  const lent = create(LentMemorySchema, { ...file, position: 0n, bytes });
  await readLent(lent, target, new AbortController().signal);
  return values;
}

function valuesOf({ parameters, firstMoment, secondMoment, step }: EngineState) {
  return [parameters.slice(), firstMoment?.slice(), secondMoment?.slice(), step];
}

describe("a state that is read beside the next step", () => {
  after(async () => {
    for (const engine of engines) await engine.close();
  });

  for (const { name, more } of [
    { name: "of variables", more: {} },
    { name: "of a share", more: { zeroStage: 1 as const } },
    { name: "of an eager program", more: { eager: true } },
  ]) {
    it(`is that of its step: ${name}`, async () => {
      const job = jobOf({ ...form, ...more });
      const table = parseTable(job.tableJson);
      const engine = await engineUnderTest((options) => createModel(options.family, options));
      engines.push(engine);
      const prepared = await engine.prepare(job);
      const share = job.zeroStage === 1 ? wholeShare(table.trainableSize) : undefined;
      await engine.loadState({ parameters: initialState(table.entries, 11), step: 0, share });
      const model = await createModel(job.family, job);
      const batch = model.exampleBatch([...model.shapes("train").keys()][0]!, "train", 0);
      const compute = (step: number) => sumStep(engine, prepared, [batch], step);
      const update = async (step: number, reduced: Float32Array): Promise<void> => {
        await engine.norm(reduced);
        const place = { step, learningRate: 0.01 };
        if (job.zeroStage === 1) {
          await engine.updateShare(place);
          await engine.takeWeights();
        } else await engine.update(place);
      };
      await update(1, await compute(1));
      const expected = valuesOf(await engine.readState(true));
      const size = table.stateSize;
      const marks = new WriteMarks(parts.length);
      await engine.startProfile();
      const state = await engine.readState(true, marks.begin());
      const { spans } = await engine.takeProfile();
      const copies = spans.filter((span) => span.name === "RingmasterCopyBeside").length;
      const isBeside = deviceUnderTest === "cpu" && !job.eager;
      assert.equal(copies, isBeside ? parts.length : 0);
      const reduced = await compute(2);
      await waitUntil(() => parts.every((part) => marks.has(part)));
      await update(2, reduced);
      assert.deepEqual(valuesOf(state), expected);
      const later = await engine.readState(true);
      assert.notDeepEqual(valuesOf(later), expected);
      assert.deepEqual(valuesOf(state), expected, "memory is not used twice at a time");
      const file = state.files?.parameters;
      const isLendable = MemoryFiles.load(exactAddonFile(await installedBinding())) !== null;
      assert.equal(file !== undefined, isLendable && !job.eager);
      if (file !== undefined) assert.deepEqual(await read(file, size), state.parameters.slice());
      await engine.giveBack(state);
      if (file !== undefined) {
        const whole = size - (size % pageElements);
        assert.ok(whole > 0);
        assert.ok(
          (await read(file, whole)).every((value) => value === 0),
          "its pages are gone",
        );
      }
      const weights = await engine.readState(false, marks.begin());
      await waitUntil(() => parts.every((part) => marks.has(part)));
      assert.deepEqual(weights.parameters, later.parameters);
      if (!job.eager) assert.equal(weights.parameters.buffer, state.parameters.buffer);
      assert.deepEqual(weights.files?.parameters, state.files?.parameters);
    });
  }
});
