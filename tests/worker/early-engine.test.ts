/** The engine's thread starts before the job is known where its threads are, and is ended where no job comes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EarlyEngine } from "../../worker/early-engine.ts";
import type { Engine } from "../../worker/engine/engine.ts";

function starter() {
  const started: number[] = [];
  const closed: number[] = [];
  const start = (threads: number): Promise<Engine> => {
    const number = started.push(threads);
    const close = (): Promise<void> => {
      closed.push(number);
      return Promise.resolve();
    };
    return Promise.resolve({ close } as Engine);
  };
  return { started, closed, start };
}

describe("an early engine", () => {
  it("is started at once and taken when the job is prepared", async () => {
    const { started, closed, start } = starter();
    const engine = new EarlyEngine(start, 2);
    assert.deepEqual(started, [2]);
    await engine.take(2);
    await engine.close();
    assert.deepEqual(started, [2]);
    assert.deepEqual(closed, []);
  });

  it("waits for the job where its threads are not known", async () => {
    const { started, start } = starter();
    const engine = new EarlyEngine(start, null);
    assert.deepEqual(started, []);
    await engine.take(3);
    assert.deepEqual(started, [3]);
    await engine.close();
  });

  it("is ended where no job comes", async () => {
    const { closed, start } = starter();
    await new EarlyEngine(start, 1).close();
    assert.deepEqual(closed, [1]);
  });

  it("refuses a job that wants other threads", async () => {
    const engine = new EarlyEngine(starter().start, 1);
    await assert.rejects(engine.take(4), /4 threads: the launcher has said 1/u);
    await engine.close();
  });

  it("tells its failure to who takes it, and to nobody else", async () => {
    const fail = () => Promise.reject(new Error("no library"));
    const engine = new EarlyEngine(fail, 1);
    await assert.rejects(engine.take(1), /no library/u);
    await new EarlyEngine(fail, 1).close();
  });
});
