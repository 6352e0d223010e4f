/** What the main thread sees of a program under way. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PhaseResult } from "../../worker/engine/engine.ts";
import type { RunMarks } from "../../worker/engine/write-marks.ts";
import { RunWatch } from "../../worker/watched-run.ts";

const never = new AbortController().signal;

/** A program that writes when it is told to. */
function program() {
  let given: RunMarks = { marks: new Int32Array(0), ticket: 0 };
  let settle = {
    resolve: (_result: PhaseResult): void => undefined,
    reject: (_error: Error): void => undefined,
  };
  const result = new Promise<PhaseResult>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return {
    run: (marks: RunMarks) => {
      given = marks;
      return result;
    },
    write: (part: number) => Atomics.store(given.marks, part, given.ticket),
    end: () => settle.resolve({}),
    fail: () => settle.reject(new Error("out of memory")),
  };
}

describe("RunWatch", () => {
  it("tells what is written while the program runs, and all of it at the end", async () => {
    const { run, write, end } = program();
    const watched = new RunWatch(3, () => 7).start(run);
    assert.equal(watched.hasReached(2, 3), false);
    const reached = watched.reach(1, 3, never);
    write(2);
    assert.equal(watched.hasReached(2, 3), true);
    assert.equal(watched.hasReached(1, 3), false);
    write(1);
    await reached;
    assert.equal(watched.endedMs, null);
    const rest = watched.reach(0, 3, never);
    end();
    await rest;
    assert.deepEqual(await watched.result, {});
    assert.equal(watched.endedMs, 7);
  });

  it("does not take an abandoned program's writing for the next one's, and waits until it is over", async () => {
    const runs = new RunWatch(1, () => 0);
    const old = program();
    runs.start(old.run);
    let isIdle = false;
    const idle = runs.idle(never).then(() => {
      isIdle = true;
    });
    const next = program();
    const watched = runs.start(next.run);
    old.write(0);
    assert.equal(watched.hasReached(0, 1), false);
    assert.equal(isIdle, false);
    old.end();
    await idle;
    next.write(0);
    assert.equal(watched.hasReached(0, 1), true);
  });

  it("rejects when the program fails, or with the signal's reason", async () => {
    const runs = new RunWatch(1, () => 0);
    const { run, fail } = program();
    const watched = runs.start(run);
    const stopping = new AbortController();
    const aborted = watched.reach(0, 1, stopping.signal);
    stopping.abort(new Error("the ring is formed anew"));
    await assert.rejects(aborted, /the ring is formed anew/);
    const failed = watched.reach(0, 1, never);
    fail();
    await assert.rejects(failed, /out of memory/);
    await runs.idle(never);
  });
});
