/**
 * The story of a worker that cannot be trusted: a bit of its weights flips, or its processor computes other bits. A real
 * coordinator leads workers in this process whose engines do wrong.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readJournal } from "../../coordinator/run/journal.ts";
import { startRun, type StoryRun } from "../support/story-run.ts";
import { markAllWritten } from "../../worker/engine/write-marks.ts";
import { createTableEngine, type Faults } from "../support/table-engine.ts";
import { writeTinyJob } from "../support/tiny-job.ts";
import { startWorker } from "../support/worker-under-test.ts";

const joinToken = "a-token-of-this-test";

async function addressOf(outputDir: string, run: StoryRun): Promise<string> {
  await run.until(/waiting for workers/u);
  for (;;) {
    const text = await readFile(join(outputDir, "run.json"), "utf8").catch(() => null);
    if (text !== null)
      return (JSON.parse(text) as { coordinatorAddress: string }).coordinatorAddress;
    await sleep(50);
  }
}

describe("a worker that cannot be trusted", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "untrusted-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder, ["eval-strategy: no"]));
    process.env["RINGMASTER_JOIN_TOKEN"] = joinToken;
  });
  after(async () => {
    delete process.env["RINGMASTER_JOIN_TOKEN"];
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs with these workers, each on a host of its own; gives exit code and text. */
  async function runWith(name: string, workers: readonly Faults[], ...flags: string[]) {
    const outputDir = join(folder, name);
    const run = startRun([
      "train",
      job,
      "--no-spawn-workers",
      "--listen",
      "127.0.0.1:0",
      "--workers",
      String(workers.length),
      "--output-dir",
      outputDir,
      "--max-steps",
      "6",
      ...flags,
    ]);
    const address = await addressOf(outputDir, run);
    const started = [];
    for (const [index, faults] of workers.entries()) {
      const engine = createTableEngine(faults);
      started.push(await startWorker({ address }, { joinToken, engine, hostId: `host-${index}` }));
    }
    const code = await run.ended;
    for (const worker of started) await worker.close();
    return { code, text: run.text(), journal: await readJournal(join(outputDir, "journal.jsonl")) };
  }

  /** The lowest bit of one weight: no loss and no norm would show it. */
  const flip: Faults = {
    afterUpdate: (step, parameters) => {
      if (step !== 3) return;
      const bits = new Uint32Array(parameters.buffer);
      bits[100]! ^= 1;
    },
  };

  it("is named when a bit of its weights flips, and the run stops", async () => {
    const { code, text, journal } = await runWith(
      "flipped",
      [{}, flip, {}],
      "--verify-every",
      "2",
      "--save-strategy",
      "no",
    );
    assert.equal(code, 1, text);
    assert.match(
      text,
      /no longer hold the same bits, after step 4: worker-1 \(rank 1\) has another/u,
    );
    assert.match(text, /another copy of bert\.embeddings\.word_embeddings\.weight than/u);
    const compared = journal.flatMap((record) => (record.kind === "weights" ? [record.step] : []));
    assert.deepEqual(compared, [2]);
  });

  it("is found before a checkpoint is made of it", async () => {
    const { code, text, journal } = await runWith(
      "saved",
      [{}, flip],
      "--save-strategy",
      "steps",
      "--save-steps",
      "2",
    );
    assert.equal(code, 1, text);
    assert.match(text, /worker-0 \(rank 0\) and worker-1 \(rank 1\) do not have the same copy of/u);
    assert.match(text, /to go on, without that machine: .*checkpoint-2/u);
    const saved = journal.flatMap((record) => (record.kind === "checkpoint" ? [record.step] : []));
    assert.deepEqual(saved, [2]);
  });

  it("is found before the next step is committed, which is computed before the weights are even copied", async () => {
    const story: string[] = [];
    let waiting = 0;
    const slow: Faults = {
      onPhase: (step) => void story.push(`compute ${step}`),
      holdCopy: (run) => {
        waiting++;
        story.push("copy");
        // A commit that did not wait would come meanwhile.
        setTimeout(() => {
          story.push("copied");
          markAllWritten(run);
        }, 300);
      },
      afterUpdate: (step) => void story.push(`update ${step}`),
    };
    const flags = ["--verify-every", "2", "--save-strategy", "no"];
    const { code, text, journal } = await runWith("slow", [{}, slow], ...flags);
    assert.equal(code, 0, text);
    assert.equal(waiting, 3);
    const ofSecond = story.slice(story.indexOf("update 2"), story.indexOf("update 3") + 1);
    assert.deepEqual(
      [...new Set(ofSecond)],
      ["update 2", "copy", "compute 3", "copied", "update 3"],
    );
    const order = journal.flatMap(({ kind, ...record }) =>
      (kind === "step" || kind === "weights") && "step" in record ? [`${kind} ${record.step}`] : [],
    );
    const committed = [1, 2, 3, 4, 5, 6].map((step) => [`step ${step}`, `weights ${step}`]);
    assert.deepEqual(
      order,
      committed.flatMap(([one, compared], index) => (index % 2 === 1 ? [one, compared] : [one])),
    );
  });

  it("is refused when its processor computes other gradients, unless that is allowed", async () => {
    const mixed = [{}, { gradient: 2 }];
    const refused = await runWith("refused", mixed, "--save-strategy", "no");
    assert.equal(refused.code, 2, refused.text);
    assert.match(
      refused.text,
      /expected workers that compute the same bits, found another gradient from each of/u,
    );
    assert.match(refused.text, /--allow-mixed-hardware/u);
    const allowed = await runWith(
      "allowed",
      mixed,
      "--allow-mixed-hardware",
      "--save-strategy",
      "no",
    );
    assert.equal(allowed.code, 0, allowed.text);
    assert.match(allowed.text, /mixed hardware: .*will not be bit-equal/u);
  });

  it("cannot let the others drift apart where it is allowed: each part of an update has one owner", async () => {
    const drifting = [{}, { updateScale: 2, norm: 1.5 }, { updateScale: 3 }];
    const refused = await runWith("updates", drifting, "--zero-stage", "1");
    assert.equal(refused.code, 2, refused.text);
    assert.match(
      refused.text,
      /expected workers that compute the same bits, found another update from each of/u,
    );
    const flags = ["--allow-mixed-hardware", "--verify-every", "1", "--save-strategy", "no"];
    const { code, text, journal } = await runWith("owners", drifting, ...flags);
    assert.equal(code, 0, text);
    assert.match(text, /note .*--allow-mixed-hardware: each part of an update has one owner/u);
    assert.match(text, /mixed hardware: another update from each of .* on fixed inputs/u);
    const compared = journal.flatMap((record) => (record.kind === "weights" ? [record.step] : []));
    assert.deepEqual(compared, [1, 2, 3, 4, 5, 6]);
    const norms = journal.flatMap((record) => (record.kind === "step" ? [record.gradNorm] : []));
    assert.deepEqual(new Set(norms), new Set([1]), "rank 0's norm counts");
  });
});
