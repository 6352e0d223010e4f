/** What every launcher must do, whoever starts the processes. A setup makes a launcher and says which workers are its own. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Launcher, LaunchOrder } from "../../coordinator/launch/launcher.ts";

const looksMax = 20;
const lookMs = 20;

/** A launcher and its world. */
export interface LauncherStage {
  readonly launcher: Launcher;
  /** Resolves with the process ids of all workers of an order, in order of place, once they run. */
  processes(order: LaunchOrder): Promise<readonly number[]>;
  /** Whether the launcher starts the workers itself. */
  readonly owns: boolean;
  /** Ends whatever the stage has started. */
  close(): Promise<void>;
}

/** An order of so many workers. */
export function orderOf(workers: number): LaunchOrder {
  return {
    workers,
    run: "trial",
    coordinatorAddress: "127.0.0.1:1",
    joinToken: "a-token",
    threads: null,
    tls: null,
  };
}

/** Waits a little for what a signal that was sent does; a process that nobody has reaped is dead. */
async function isAlive(processId: number): Promise<boolean> {
  for (let looks = 0; looks < looksMax; looks++) {
    const text = await readFile(`/proc/${processId}/stat`, "utf8").catch(() => ") X");
    if (/\) [ZX]/u.test(text)) return false;
    await sleep(lookMs);
  }
  return true;
}

/** Registers the suite. */
export function describeLauncher(name: string, setup: () => Promise<LauncherStage>): void {
  const withStage = async (
    use: (stage: LauncherStage, ids: readonly number[]) => Promise<void>,
  ): Promise<void> => {
    const stage = await setup();
    try {
      const order = orderOf(2);
      await stage.launcher.launch(order);
      await use(stage, await stage.processes(order));
    } finally {
      await stage.launcher.stop(0);
      await stage.close();
    }
  };
  describe(`${name} keeps the launcher contract`, () => {
    it("knows its own workers by their processes, and nobody else's", () =>
      withStage(({ launcher, owns }, ids) => {
        assert.deepEqual(
          ids.map((id) => launcher.idOf(id)),
          owns ? ["worker-0", "worker-1"] : [null, null],
        );
        assert.equal(launcher.idOf(process.pid), null);
        return Promise.resolve();
      }));
    it("says how a worker of its own ended, with its last words, and nothing of others", () =>
      withStage(async ({ launcher, owns }, ids) => {
        process.kill(ids[1] ?? 0, "SIGKILL");
        const { end, lastLines, logFile } = await launcher.endOf("worker-1");
        const unknown = { end: null, lastLines: [], logFile: null };
        assert.deepEqual(await launcher.endOf("worker-7"), unknown);
        if (!owns) {
          assert.deepEqual({ end, lastLines, logFile }, unknown);
          return;
        }
        assert.deepEqual(end, { kind: "killed", signal: "SIGKILL" });
        assert.ok(lastLines.includes("worker 1 of trial is there"), lastLines.join("\n"));
        assert.match(logFile ?? "", /worker-1\.log$/u);
      }));
    it("tells the first end, of its own workers only", () =>
      withStage(async ({ launcher, owns }, ids) => {
        let told: string | null = null;
        void launcher.firstEnd.then((workerId) => {
          told = workerId;
        });
        process.kill(ids[1] ?? 0, "SIGKILL");
        await launcher.endOf("worker-1");
        if (owns) assert.equal(await launcher.firstEnd, "worker-1");
        assert.equal(told, owns ? "worker-1" : null);
      }));
    it("lets workers leave by themselves, then ends its own; others are not touched", () =>
      withStage(async ({ launcher, owns }, ids) => {
        await launcher.stop(100);
        const alive = await Promise.all(ids.map(isAlive));
        assert.deepEqual(alive, owns ? [false, false] : [true, true]);
        await launcher.stop(100);
      }));
  });
}
