/**
 * Goal: workers that reach each other by gRPC only, without certificates, sum by carriers; one that is killed ends the run with a report and a
 * checkpoint, and what goes on from there ends with the bits of one worker.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { joinByGrpc, joinToken, waitingFlags } from "../support/join-by-grpc.ts";
import { startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const supported = process.platform === "linux" && process.arch === "x64";

describe("a run by gRPC", { skip: supported ? false : "carriers are for Linux on x86-64" }, () => {
  let folder: string;
  let job: string;
  const children: ChildProcess[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "carriers-"));
    job = join(folder, "job.yaml");
    const endless = await writeTinyJob(folder);
    await writeFile(job, endless.replace(/^max-steps: .*$/mu, "max-steps: 60"));
  });
  after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  const hashOf = async (output: string): Promise<string> =>
    createHash("sha256")
      .update(await readFile(join(output, "model.safetensors")))
      .digest("hex");

  it("has the bits of one worker, though one of its workers was killed in the middle", async () => {
    const alone = join(folder, "alone");
    assert.equal(await startRun(["train", job, "--workers", "1", "--output-dir", alone]).ended, 0);

    const killed = join(folder, "killed");
    const flags = [...waitingFlags, "--workers", "3", "--output-dir", killed];
    const run = startRun(["train", job, ...flags], { RINGMASTER_JOIN_TOKEN: joinToken });
    children.push(run.child);
    const workers = await joinByGrpc(run, killed, 3);
    children.push(...workers.map(({ child }) => child));
    await run.until("step 10/");
    const ends = workers.map(({ child }) => once(child, "exit"));
    workers[1]!.child.kill("SIGKILL");
    assert.equal(await run.ended, 1, run.text());
    // The others are not kept by their carriers.
    await Promise.all(ends);
    for (const { said } of workers)
      assert.match(said(), /"worldSize":3,"transport":"grpc","carrier":true.*"in a ring"/u);
    const [, last = ""] = /--resume-from-checkpoint (\S+)/u.exec(run.text()) ?? [];
    const on = startRun(["train", job, "--workers", "2", "--resume-from-checkpoint", last]);
    assert.equal(await on.ended, 0, on.text());
    assert.equal(await hashOf(killed), await hashOf(alone));
  });
});
