/**
 * The story of a worker that joins while a run goes on: the others train while it records, compiles and loads; then it enters
 * between two steps, and no bit depends on it. One that dies on its way, or cannot prepare, holds nobody up.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readJournal } from "../../coordinator/run/journal.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { workerEnvironment as names } from "../../proto/environment.ts";
import { bindingUnderTest } from "../support/engine-under-test.ts";
import { startRun, type StoryRun } from "../support/story-run.ts";
import { createTableEngine } from "../support/table-engine.ts";
import { writeTinyJob } from "../support/tiny-job.ts";
import { startWorker } from "../support/worker-under-test.ts";

const workerProgram = fileURLToPath(new URL("../../worker/bin.mjs", import.meta.url));
const joinToken = "a secret of this test alone";

interface StepsAndRings {
  readonly lastStep: number;
  /** Rings by generation: the step after which each was formed, and its members. */
  readonly rings: readonly { readonly step: number; readonly members: readonly string[] }[];
}

async function journalOf(output: string): Promise<StepsAndRings> {
  const records = await readJournal(join(output, "journal.jsonl"));
  let lastStep = 0;
  const rings: { step: number; members: string[] }[] = [];
  for (const record of records) {
    if (record.kind === "step") {
      assert.equal(record.step, lastStep + 1, "every step once, in order");
      lastStep = record.step;
    }
    if (record.kind === "ring") {
      const members = record.members.map(({ workerId }) => workerId);
      rings.push({ step: record.step, members });
    }
  }
  return { lastStep, rings };
}

async function until(
  run: StoryRun,
  output: string,
  isThere: (seen: StepsAndRings) => boolean,
): Promise<StepsAndRings> {
  for (;;) {
    const seen = await journalOf(output);
    if (isThere(seen)) return seen;
    assert.equal(run.child.exitCode, null, run.text());
    await sleep(20);
  }
}

describe("a worker that joins while the run goes on", () => {
  let folder: string;
  let job: string;
  let bindingFile: string;
  const children: ChildProcess[] = [];
  before(async () => {
    bindingFile = await bindingUnderTest();
    folder = await mkdtemp(join(tmpdir(), "late-worker-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder));
  });
  after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  function startTraining(name: string, ...flags: string[]): StoryRun {
    const output = ["--output-dir", join(folder, name), "--threads-per-worker", "1"];
    const run = startRun(["train", job, ...output, ...flags], { RINGMASTER_JOIN_TOKEN: joinToken });
    children.push(run.child);
    return run;
  }

  /** A worker whose cache holds no programs: it has to record and compile them. */
  async function joinRun(name: string, more: NodeJS.ProcessEnv = {}) {
    const text = await readFile(join(folder, name, "run.json"), "utf8");
    const { coordinatorAddress } = JSON.parse(text) as { coordinatorAddress: string };
    const worker = spawn(process.execPath, [workerProgram], {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        [names.coordinator]: coordinatorAddress,
        [names.joinToken]: joinToken,
        [names.bindingFile]: bindingFile,
        [names.tensorflowVersion]: "2.21.0",
        [names.advertiseHost]: "127.0.0.1",
        RINGMASTER_CACHE: await mkdtemp(join(folder, "cache-")),
        ...more,
      },
    });
    children.push(worker);
    let output = "";
    for (const stream of [worker.stdout, worker.stderr]) {
      stream.setEncoding("utf8").on("data", (data: string) => (output += data));
    }
    return { worker, ended: once(worker, "close"), text: () => output };
  }

  it("prepares while the others train, enters between two steps, and changes no bit", async () => {
    const output = join(folder, "growing");
    const run = startTraining("growing", "--workers", "1", "--max-workers", "2");
    const { lastStep: before } = await until(run, output, ({ lastStep }) => lastStep >= 3);
    const late = await joinRun("growing");
    const grown = await until(run, output, ({ rings }) => rings.length === 2);
    const [first, second] = grown.rings;
    assert.deepEqual(first, { step: 0, members: ["worker-0"] });
    assert.deepEqual(second?.members, ["worker-0", "worker-1"]);
    // It was not waited for: steps went on while it started, recorded and compiled.
    assert.ok(
      second.step >= before + 5,
      `entered after step ${second.step}, joined after ${before}`,
    );
    const end = await until(run, output, ({ lastStep }) => lastStep >= second.step + 10);
    run.interrupt();
    assert.notEqual(await run.ended, 1, run.text());
    await late.ended;
    assert.equal(late.worker.exitCode, 0, late.text());
    assert.match(
      run.text(),
      new RegExp(`worker-1 joined: 2 workers from step ${second.step + 1} on`),
    );
    const events = await readFile(join(output, "events.jsonl"), "utf8");
    const kinds = events
      .split("\n")
      .flatMap((line) => /ringmaster\.v1\.(\w+)/u.exec(line)?.[1] ?? []);
    const joined = kinds.lastIndexOf("WorkerJoined");
    const entered = kinds.lastIndexOf("RingFormed");
    const between = kinds.slice(joined, entered).filter((kind) => kind === "StepCommitted");
    assert.ok(between.length >= 3, `${between.length} steps between its join and its entry`);

    const alone = startTraining("alone", "--workers", "1");
    await until(alone, join(folder, "alone"), ({ lastStep }) => lastStep >= end.lastStep);
    alone.interrupt();
    await alone.ended;
    const verified = startRun(["verify", output, join(folder, "alone")]);
    assert.equal(await verified.ended, 0, verified.text());
    assert.match(verified.text(), /Steps 1–\d+: .*are the same in all/su);
  });

  it("takes its share of the optimiser's state where that is shared out", async () => {
    const output = join(folder, "shares");
    const zero = ["--zero-stage", "1"];
    const run = startTraining("shares", "--workers", "1", "--max-workers", "2", ...zero);
    await until(run, output, ({ lastStep }) => lastStep >= 3);
    const late = await joinRun("shares");
    const { rings } = await until(run, output, (seen) => seen.rings.length === 2);
    const entered = rings[1]?.step ?? Number.POSITIVE_INFINITY;
    await until(run, output, ({ lastStep }) => lastStep >= entered + 10);
    run.interrupt();
    await run.ended;
    await late.ended;
    assert.equal(late.worker.exitCode, 0, late.text());
    const verified = startRun(["verify", output, join(folder, "growing")]);
    assert.equal(await verified.ended, 0, verified.text());
  });

  it("holds nobody up when it dies on its way, and its place is free again", async () => {
    const output = join(folder, "dying");
    const run = startTraining("dying", "--workers", "1", "--max-workers", "2");
    await until(run, output, ({ lastStep }) => lastStep >= 3);
    const dying = await joinRun("dying");
    for (;;) {
      const events = await readFile(join(output, "events.jsonl"), "utf8");
      if (events.split("WorkerJoined").length > 2) break;
      await sleep(10);
    }
    dying.worker.kill("SIGKILL");
    await dying.ended;
    const { lastStep } = await journalOf(output);
    await until(run, output, (seen) => seen.lastStep >= lastStep + 10);
    const next = await joinRun("dying");
    const { rings } = await until(run, output, (seen) => seen.rings.length === 2);
    assert.deepEqual(rings[1]?.members, ["worker-0", "worker-1"]);
    run.interrupt();
    await run.ended;
    await next.ended;
    assert.equal(next.worker.exitCode, 0, next.text());
  });

  it("is refused where every place is taken, and where it may not join", async () => {
    const run = startTraining("full", "--workers", "1");
    await until(run, join(folder, "full"), ({ lastStep }) => lastStep >= 1);
    const refused = await joinRun("full");
    await refused.ended;
    assert.notEqual(refused.worker.exitCode, 0);
    assert.match(refused.text(), /has all of its 1 workers/u);
    run.interrupt();
    await run.ended;
  });
});

describe("a worker that joins late and is no help", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "late-refused-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** A run of one worker in this process, and one more that joins it: what the run says of that, and its rings. */
  async function joinedBy(name: string, faulty: Engine, wanted: RegExp) {
    const output = join(folder, name);
    const places = ["--no-spawn-workers", "--listen", "127.0.0.1:0", "--workers", "1"];
    const flags = [...places, "--max-workers", "2", "--output-dir", output];
    const run = startRun(["train", job, ...flags], { RINGMASTER_JOIN_TOKEN: joinToken });
    await run.until(/waiting for workers/u);
    const text = await readFile(join(output, "run.json"), "utf8");
    const { coordinatorAddress: address } = JSON.parse(text) as { coordinatorAddress: string };
    const workers = [];
    try {
      const engine = createTableEngine({});
      workers.push(await startWorker({ address }, { joinToken, engine, hostId: "host-0" }));
      await until(run, output, ({ lastStep }) => lastStep >= 3);
      const late = { joinToken, engine: faulty, hostId: "host-1" };
      workers.push(await startWorker({ address }, late));
      await run.until(wanted);
      const { lastStep } = await journalOf(output);
      return await until(run, output, (seen) => seen.lastStep >= lastStep + 5);
    } finally {
      run.interrupt();
      await run.ended;
      for (const worker of workers) await worker.close();
    }
  }

  it("is sent away when it computes other gradients, and the run goes on", async () => {
    const said = /worker-1 is not taken in: .*another gradient/u;
    const { rings } = await joinedBy("mixed", createTableEngine({ gradient: 2 }), said);
    assert.deepEqual(rings, [{ step: 0, members: ["worker-0"] }]);
  });

  it("is left behind when it fails on the threshold, and the run goes on", async () => {
    const engine = createTableEngine({});
    let loads = 0;
    const failing: Engine = {
      ...engine,
      // The first one is the self-test's.
      loadState: (state) =>
        ++loads === 1 ? engine.loadState(state) : Promise.reject(new Error("out of memory")),
    };
    const said = /worker-1 was lost before it had entered: it closed its connection/u;
    const { rings } = await joinedBy("failing", failing, said);
    assert.deepEqual(
      rings.map(({ members }) => members),
      [["worker-0"], ["worker-0"]],
    );
  });
});
