/** The lock between processes, with real processes, killed ones among them. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { identityOfThisProcess } from "../../../foundation/cache/process-identity.ts";
import { withProcessLock } from "../../../foundation/cache/process-lock.ts";

const program = fileURLToPath(new URL("count-under-lock.ts", import.meta.url));
const signal = new AbortController().signal;
const finished = async (): Promise<string> => "done";
let folder = "";

function start(...programArguments: string[]): ChildProcess {
  return spawn(process.execPath, ["--import", "tsx", program, ...programArguments], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function startHolder(lockFile: string): Promise<ChildProcess> {
  const holder = start(lockFile, "-", "0");
  const [said] = await once(holder.stdout!, "data");
  assert.equal(String(said), "held\n");
  return holder;
}

describe("withProcessLock()", () => {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ringmaster-lock-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("lets one of several processes in at a time", async () => {
    const lockFile = join(folder, "count");
    const counterFile = join(folder, "counter");
    await writeFile(counterFile, "0");
    const counters = Array.from({ length: 4 }, () => start(lockFile, counterFile, "25"));
    const codes = await Promise.all(counters.map(async (child) => (await once(child, "exit"))[0]));
    assert.deepEqual(codes, [0, 0, 0, 0]);
    assert.equal(await readFile(counterFile, "utf8"), "100");
    const left = (await readdir(folder)).filter((name) => name.includes("count."));
    assert.equal(left.length, 1, `one number is left of all: ${left.join()}`);
  });

  it("waits for a living holder, names it, and follows it at once when it is killed", async () => {
    const lockFile = join(folder, "killed");
    const holder = await startHolder(lockFile);
    const waitedFor: number[] = [];
    const onWait = ({ pid }: { pid: number }): void => {
      waitedFor.push(pid);
      holder.kill("SIGKILL");
    };
    assert.equal(await withProcessLock(lockFile, { signal, onWait, pollMs: 5 }, finished), "done");
    assert.deepEqual(waitedFor, [holder.pid]);
  });

  it("stops waiting when it is told to", async () => {
    const lockFile = join(folder, "aborted");
    const holder = await startHolder(lockFile);
    const controller = new AbortController();
    const onWait = (): void => controller.abort(new Error("enough"));
    await assert.rejects(
      withProcessLock(lockFile, { signal: controller.signal, onWait, pollMs: 5 }, finished),
      (error: Error) => error.message === "enough" || error.cause === controller.signal.reason,
    );
    holder.kill("SIGKILL");
    await once(holder, "exit");
  });

  it("takes a process of the same number, but started at another time, for another", async () => {
    const lockFile = join(folder, "reused");
    const owner = { ...(await identityOfThisProcess()), startTime: "1" };
    await writeFile(`${lockFile}.6`, `${JSON.stringify(owner)}\n`);
    assert.equal(await withProcessLock(lockFile, { signal }, finished), "done");
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.startsWith("reused")),
      ["reused.7"],
    );
  });

  it("believes a holder of another machine as long as it gives signs", async () => {
    const lockFile = join(folder, "far");
    const owner = { pid: 1, startTime: "1", scope: "another machine" };
    await writeFile(`${lockFile}.1`, `${JSON.stringify(owner)}\n`);
    let signs = 0;
    const heartbeat = setInterval(() => {
      signs += 1;
      if (signs > 20) clearInterval(heartbeat);
      else void writeFile(`${lockFile}.1`, "\n", { flag: "a" });
    }, 10);
    const seen = await withProcessLock(
      lockFile,
      { signal, pollMs: 50, silenceMs: 150 },
      async () => signs,
    );
    assert.ok(seen > 20, `the lock was taken after ${seen} signs`);
  });

  it("frees the lock when the work fails, and passes the error on", async () => {
    const lockFile = join(folder, "failing");
    const failure = new Error("no luck");
    await assert.rejects(
      withProcessLock(lockFile, { signal }, () => Promise.reject(failure)),
      failure,
    );
    assert.equal(await withProcessLock(lockFile, { signal }, finished), "done");
  });

  it("does not stumble over a damaged file", async () => {
    const lockFile = join(folder, "damaged");
    await writeFile(`${lockFile}.3`, "");
    assert.equal(await withProcessLock(lockFile, { signal }, finished), "done");
  });
});
