/**
 * Goal: workers that reach each other by gRPC only, without certificates, sum by carriers; one that is killed ends the run with a report and a
 * checkpoint, and what goes on from there ends with the bits of one worker.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { workerEnvironment as names } from "../../proto/environment.ts";
import { installedBinding } from "../support/installed-binding.ts";
import { startRun, type StoryRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const joinToken = "joined-by-hand-and-summed-by-carriers";
const workerProgram = fileURLToPath(new URL("../../worker/bin.mjs", import.meta.url));
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

  /** Three workers, and what each has said. */
  async function startByGrpc(output: string) {
    const byHand = ["--no-spawn-workers", "--listen", "127.0.0.1:0", "--workers", "3"];
    const run: StoryRun = startRun(["train", job, ...byHand, "--output-dir", output], {
      RINGMASTER_JOIN_TOKEN: joinToken,
    });
    children.push(run.child);
    await run.until(/waiting for workers/u);
    const { coordinatorAddress } = JSON.parse(await readFile(join(output, "run.json"), "utf8")) as {
      coordinatorAddress: string;
    };
    const env = {
      ...process.env,
      [names.coordinator]: coordinatorAddress,
      [names.joinToken]: joinToken,
      [names.bindingFile]: await installedBinding(),
      [names.tensorflowVersion]: "2.21.0",
      [names.advertiseHost]: "127.0.0.1",
      [names.ringLanes]: "0",
    };
    const workers = [0, 1, 2].map(() => {
      const args = [workerProgram, "--ring-transport", "grpc"];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env });
      children.push(child);
      const said: string[] = [];
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (text: Buffer) => said.push(text.toString()));
      return { child, said: () => said.join("") };
    });
    return { run, workers };
  }

  const hashOf = async (output: string): Promise<string> =>
    createHash("sha256")
      .update(await readFile(join(output, "model.safetensors")))
      .digest("hex");

  it("has the bits of one worker, though one of its workers was killed in the middle", async () => {
    const alone = join(folder, "alone");
    assert.equal(await startRun(["train", job, "--workers", "1", "--output-dir", alone]).ended, 0);

    const killed = join(folder, "killed");
    const { run, workers } = await startByGrpc(killed);
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
