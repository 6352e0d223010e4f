import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { partialPattern } from "../../../coordinator/checkpoint/write-aside.ts";
import { watchOver } from "../../../coordinator/launch/janitor.ts";

const litter = [
  { markedFile: "control.json", pattern: partialPattern },
  { markedFile: "control.json", pattern: "control.json" },
  { markedFile: "nats/start", pattern: "nats" },
];

describe("janitor", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "a janitor's test-"));
    await mkdir(join(folder, ".checkpoint-8.ringmaster-partial"));
    await writeFile(join(folder, ".checkpoint-8.ringmaster-partial", "model.safetensors"), "half");
    await writeFile(join(folder, ".job.yaml.ringmaster-partial"), "half");
    await writeFile(join(folder, ".notes.partial"), "the user's");
    await writeFile(join(folder, "job.yaml"), "whole");
    await writeFile(join(folder, "control.json"), "of start 1");
    await mkdir(join(folder, "nats"));
    await writeFile(join(folder, "nats", "start"), "of start 1");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("leaves what bears the mark of another start", async () => {
    const names = await readdir(folder);
    await watchOver(folder, "start 2", litter)();
    assert.deepEqual(await readdir(folder), names);
  });

  it("removes what its own start has left, also what was half written, and nothing else", async () => {
    await watchOver(folder, "start 1", litter)();
    assert.deepEqual((await readdir(folder)).sort(), [".notes.partial", "job.yaml"]);
  });
});
