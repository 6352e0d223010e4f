import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { findCheckpoint, lastCheckpoint } from "../../../coordinator/commands/find-checkpoint.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "find-checkpoint-"));
  for (const name of [
    "checkpoint-9",
    "checkpoint-10",
    ".checkpoint-11.ringmaster-partial",
    "checkpoint-x",
  ]) {
    await mkdir(join(folder, name));
  }
  await writeFile(join(folder, "checkpoint-9", "job.yaml"), "seed: 9\n");
  await writeFile(join(folder, "job.yaml"), "seed: 1\n");
});
after(() => rm(folder, { recursive: true, force: true }));

describe("findCheckpoint", () => {
  it("takes the highest step as the last, whole checkpoints only", async () => {
    assert.equal(await lastCheckpoint(folder), join(folder, "checkpoint-10"));
    assert.equal(await lastCheckpoint(join(folder, "checkpoint-9")), null);
    for (const wanted of ["last", "true", folder]) {
      const found = await findCheckpoint(wanted, folder);
      assert.equal(found.folder, join(folder, "checkpoint-10"));
      assert.equal(found.outputDir, folder);
    }
  });

  it("reads the checkpoint's own settings, else its run's", async () => {
    const own = await findCheckpoint(join(folder, "checkpoint-9"), null);
    assert.equal(own.text, "seed: 9\n");
    const shared = await findCheckpoint(join(folder, "checkpoint-10"), null);
    assert.equal(shared.text, "seed: 1\n");
  });

  it("takes the checkpoint written last when only the folder of runs is known", async () => {
    const runs = join(folder, "runs-of-two");
    for (const [run, at] of [
      ["a", 2000],
      ["b", 1000],
    ] as const) {
      const checkpoint = join(runs, run, "checkpoint-1");
      await mkdir(checkpoint, { recursive: true });
      await utimes(checkpoint, at, at);
      await writeFile(join(runs, run, "job.yaml"), `run-name: ${run}\n`);
    }
    const found = await findCheckpoint("last", null, runs);
    assert.equal(found.text, "run-name: a\n");
  });

  it("refuses what is no checkpoint", async () => {
    await assert.rejects(
      findCheckpoint("last", join(folder, "none")),
      /a checkpoint to go on from/,
    );
    await assert.rejects(findCheckpoint(join(folder, "job.yaml"), null), /found a file/);
  });
});
