/**
 * A worker that a run starts has TensorFlow's settings: each process tells its own environment at its end, and TensorFlow what it made
 * of it.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { engineVariables, setEngineEnvironment } from "../../worker/engine-environment.ts";
import { startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const settings = { threads: 2, device: "cpu", localRank: 0 } as const;
const setting = "TF_ENABLE_ONEDNN_OPTS";

/** Loaded before a process's program: has it tell the setting when it ends. */
const teller = `import { isMainThread } from "node:worker_threads";
if (isMainThread) process.on("exit", () => console.error("at the end ${setting}=" + process.env.${setting}));`;

describe("TensorFlow's settings", () => {
  it("turn oneDNN on, unless the user has said something else", () => {
    assert.equal(engineVariables(settings)[setting], "1");
    const env: NodeJS.ProcessEnv = {};
    setEngineEnvironment(env, settings);
    assert.equal(env[setting], "1");
    const own: NodeJS.ProcessEnv = { [setting]: "0" };
    setEngineEnvironment(own, settings);
    assert.equal(own[setting], "0");
  });
});

describe("a worker of a run", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "settings-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder));
    await writeFile(join(folder, "teller.mjs"), teller);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** What the one worker has written; TensorFlow says there which settings it found. */
  async function logWith(name: string, given: NodeJS.ProcessEnv): Promise<string> {
    const output = join(folder, name);
    const flags = ["--workers", "1", "--max-steps", "1", "--output-dir", output];
    const tell = `--import ${pathToFileURL(join(folder, "teller.mjs")).href}`;
    const env = {
      [setting]: undefined,
      TF_CPP_MIN_LOG_LEVEL: "0",
      NODE_OPTIONS: tell,
      ...given,
    };
    const run = startRun(["train", job, ...flags], env);
    assert.equal(await run.ended, 0, run.text());
    const names = await readdir(join(output, "logs"));
    const logs = names.filter((file) => file.startsWith("worker"));
    assert.equal(logs.length, 1);
    return await readFile(join(output, "logs", logs[0] ?? ""), "utf8");
  }

  it("computes with oneDNN, and without where the user says so", async () => {
    const on = await logWith("on", {});
    assert.match(on, /at the end TF_ENABLE_ONEDNN_OPTS=1$/mu);
    assert.match(on, /oneDNN custom operations are on/u);
    const off = await logWith("off", { [setting]: "0" });
    assert.match(off, /at the end TF_ENABLE_ONEDNN_OPTS=0$/mu);
    assert.doesNotMatch(off, /oneDNN custom operations/u);
  });
});
