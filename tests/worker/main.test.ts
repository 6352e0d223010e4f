/** The worker's program: flags, joining, ends. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { after, afterEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { allocatorEnvironment, workerNodeFlags } from "../../proto/environment.ts";
import { FinishSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { ScriptedCoordinator } from "../support/scripted-coordinator.ts";

const bin = fileURLToPath(new URL("../../worker/bin.mjs", import.meta.url));
const joinToken = "s3cret-token";

interface Program {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
  /** Resolves when standard error holds this. */
  said(text: RegExp): Promise<void>;
}

const running = new Set<ChildProcess>();
const coordinators: ScriptedCoordinator[] = [];

function startProgram(args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  return start([process.execPath, bin, ...args], env);
}

function start([command = "", ...args]: readonly string[], env: NodeJS.ProcessEnv): Program {
  const child = spawn(command, args, {
    // From another folder, and with a binding that nobody is to load: no job comes.
    cwd: tmpdir(),
    env: { PATH: process.env["PATH"], RINGMASTER_BINDING_FILE: "/nowhere", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  running.add(child);
  let stderr = "";
  let heard: () => void = () => undefined;
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    heard();
  });
  const ended = once(child, "close").then(([code]: unknown[]) => {
    running.delete(child);
    heard();
    return { code: code as number | null, stderr };
  });
  return {
    child,
    ended,
    async said(text) {
      while (!text.test(stderr)) {
        if (child.exitCode !== null) throw new Error(`it has ended: ${stderr}`);
        await new Promise<void>((resolve) => {
          heard = resolve;
        });
      }
    },
  };
}

async function startCoordinator(): Promise<ScriptedCoordinator> {
  const coordinator = await ScriptedCoordinator.start({ run: "run", joinToken });
  coordinators.push(coordinator);
  return coordinator;
}

function close(): void {
  for (const child of running) child.kill("SIGKILL");
  for (const coordinator of coordinators.splice(0)) coordinator.close();
}

afterEach(close);
after(close);

describe("worker program", () => {
  it("refuses wrong flags with one line and code 2", async () => {
    const { code, stderr } = await startProgram(["--coordinator", "nowhere"]).ended;
    assert.equal(code, 2);
    assert.equal(stderr.trim().split("\n").length, 1);
    assert.match(stderr, /^worker: --coordinator/);
  });

  it("refuses a wrong token with code 2, and tells neither token", async () => {
    const { address } = await startCoordinator();
    const env = { RINGMASTER_COORDINATOR: address, RINGMASTER_JOIN_TOKEN: "wrong-token" };
    const { code, stderr } = await startProgram([], env).ended;
    assert.equal(code, 2);
    assert.match(stderr, /--join-token-file/);
    assert.ok(!stderr.includes("wrong-token") && !stderr.includes(joinToken));
  });

  it("joins, ignores Ctrl-C, and leaves with code 0 when the run is over", async () => {
    const coordinator = await startCoordinator();
    const env = { RINGMASTER_COORDINATOR: coordinator.address, RINGMASTER_JOIN_TOKEN: joinToken };
    const program = startProgram(["--metrics-listen", "127.0.0.1:0"], env);
    const seat = await coordinator.worker(0);
    await program.said(/joined/);
    const { introduction } = seat;
    assert.equal(introduction.processId, program.child.pid);
    assert.equal(introduction.environment["node"], process.version);
    const page = await fetch(`http://${introduction.metricsAddress}/readyz`);
    assert.equal(page.status, 503);
    await page.text();
    program.child.kill("SIGINT");
    await seat.heard(/waiting/);
    seat.send({ case: "finish", value: create(FinishSchema, { reason: "all done" }) });
    const { code, stderr } = await program.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /all done/);
  });

  it("has by its first line the settings that launchers give, behind the user's own", async (t) => {
    if (process.platform !== "linux") {
      t.skip("what a process was started with is read from /proc");
      return;
    }
    const coordinator = await startCoordinator();
    const own = "glibc.malloc.arena_max=3";
    const program = start([bin], {
      RINGMASTER_COORDINATOR: coordinator.address,
      RINGMASTER_JOIN_TOKEN: joinToken,
      GLIBC_TUNABLES: own,
    });
    await program.said(/joined/);
    const startedWith = (what: string): Promise<string> =>
      readFile(`/proc/${program.child.pid}/${what}`, "utf8");
    // glibc ends each setting where it reads it, as it ends each variable.
    const variables = (await startedWith("environ")).replaceAll("\0", ":");
    const { GLIBC_TUNABLES: ours } = allocatorEnvironment;
    assert.ok(variables.includes(`:GLIBC_TUNABLES=${own}:${ours}:`), variables);
    const [, ...command] = (await startedWith("cmdline")).split("\0");
    assert.deepEqual(command.slice(0, workerNodeFlags.length), workerNodeFlags);
  });

  it("ends with code 1 when the coordinator goes", async () => {
    const coordinator = await startCoordinator();
    const env = { RINGMASTER_COORDINATOR: coordinator.address, RINGMASTER_JOIN_TOKEN: joinToken };
    const program = startProgram([], env);
    await coordinator.worker(0);
    await program.said(/joined/);
    coordinator.close();
    const { code, stderr } = await program.ended;
    assert.equal(code, 1);
    assert.match(stderr, /session with the coordinator is over/);
  });

  it("waits for its coordinator until told to leave", async () => {
    const env = { RINGMASTER_COORDINATOR: "127.0.0.1:1", RINGMASTER_JOIN_TOKEN: joinToken };
    const program = startProgram([], env);
    await program.said(/waiting for the coordinator/);
    program.child.kill("SIGTERM");
    assert.equal((await program.ended).code, 143);
  });

  it("tells the coordinator of a SIGTERM, works on until it may go, and goes at once at the second", async () => {
    const coordinator = await startCoordinator();
    const env = { RINGMASTER_COORDINATOR: coordinator.address, RINGMASTER_JOIN_TOKEN: joinToken };
    const program = startProgram([], env);
    const seat = await coordinator.worker(0);
    await program.said(/joined/);
    program.child.kill("SIGTERM");
    assert.match((await seat.next("leaving")).reason, /SIGTERM/);
    // It stays until it may go.
    await seat.heard(/waiting/);
    seat.send({ case: "finish", value: create(FinishSchema, { reason: "without you" }) });
    assert.equal((await program.ended).code, 143);

    const hasty = startProgram([], env);
    await coordinator.worker(1);
    await hasty.said(/joined/);
    hasty.child.kill("SIGTERM");
    await hasty.said(/told to leave/);
    hasty.child.kill("SIGTERM");
    assert.equal((await hasty.ended).code, 143);
  });
});
