/** What the settings of a job say to a worker: nothing that decides bits may get lost on the way. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { trainingPrepare } from "../../../coordinator/run/prepare-message.ts";
import { parseJob } from "../../../foundation/job/parse-job.ts";
import { loadModel } from "../../../foundation/model-files/load-model.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";
import { writeTinyBert } from "../../support/tiny-bert.ts";

describe("the Prepare directive", () => {
  it("carries precision, lengths and the table that convolutions are chosen by", async () => {
    const folder = await mkdtemp(join(tmpdir(), "prepare-"));
    try {
      await writeTinyBert(join(folder, "model"));
      const labels = null;
      const asked = { labels, problemType: null, seed: 0, requireHead: false } as const;
      const model = await loadModel(join(folder, "model"), asked);
      const flags = {
        model: "model",
        "train-file": ["train.tsv"],
        fp16: "true",
        "force-fp16": "true",
        "convolution-table": "1",
        "max-length": "32",
        "bucket-lengths": ["8", "32"],
      };
      const context = { now: new Date(0), jobName: null, checkpoint: null };
      const { settings } = parseJob({ flags, env: {}, file: null }, context);
      const prepare = trainingPrepare(settings, model, layOutTable(model.specs), 3);
      assert.deepEqual(
        [prepare.fp16, prepare.forceFp16, prepare.bf16, prepare.forceBf16],
        [true, true, false, false],
      );
      assert.equal(prepare.convolutionTable, 1);
      assert.deepEqual(prepare.bucketLengths, [8, 32]);
      assert.equal(prepare.threads, 3);
      assert.equal(prepare.packed, false, "lengths are given");
      const packedWith = (changes: object): boolean =>
        trainingPrepare(
          { ...settings, bucketLengths: [32], ...changes },
          model,
          layOutTable(model.specs),
          3,
        ).packed;
      assert.equal(packedWith({}), true);
      for (const change of [{ padding: "bucket" }, { device: "gpu" }, { eager: true }])
        assert.equal(packedWith(change), false, JSON.stringify(change));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
