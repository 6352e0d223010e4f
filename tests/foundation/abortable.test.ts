import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { z } from "zod";
import { abortable, signalWithin } from "../../foundation/abortable.ts";

/** Collects what nothing holds. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  return z.function().parse(collect) as () => void;
}

const never = new AbortController().signal;

describe("a signal within a time", () => {
  const waiters: Readonly<Record<string, (signal: AbortSignal) => Promise<unknown>>> = {
    "one that listens": (signal) => abortable(new Promise(() => undefined), signal),
    "one that looks now and then": async (signal) => {
      while (!signal.aborted) await sleep(5);
      throw signal.reason;
    },
    "one that combines it": (signal) =>
      abortable(new Promise(() => undefined), AbortSignal.any([signal, never])),
  };
  for (const [name, wait] of Object.entries(waiters)) {
    it(`ends the wait of ${name}, though only the waiter holds it and memory is collected`, async () => {
      const collect = collector();
      // Like whatever a process has open: the signal's time alone does not keep it alive.
      const alive = setInterval(() => undefined, 1_000);
      const waiting = assert.rejects(wait(signalWithin(never, 200)), { name: "TimeoutError" });
      for (let turn = 0; turn < 10; turn += 1) {
        collect();
        await sleep(5);
      }
      await waiting;
      clearInterval(alive);
    });
  }

  it("is aborted with its signal, for its reason, before or after it was made", () => {
    const source = new AbortController();
    const reason = new Error("told to");
    const before = signalWithin(source.signal, 60_000);
    assert.equal(before.aborted, false);
    source.abort(reason);
    assert.equal(before.reason, reason);
    assert.equal(signalWithin(source.signal, 60_000).reason, reason);
  });
});

describe("a wait that a signal ends", () => {
  it("leaves no failure unheard of what it did not wait for", async () => {
    const failing = sleep(5).then(() => Promise.reject(new Error("later")));
    await assert.rejects(abortable(failing, AbortSignal.abort(new Error("over"))), /over/u);
    // An unhandled rejection fails the test.
    await sleep(20);
  });
});
