import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  CommitStepSchema,
  FinishSchema,
  FormRingSchema,
  RunStepSchema,
} from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import {
  DirectiveQueue,
  Interrupted,
  SessionLost,
  type Directive,
} from "../../../worker/session/directive-queue.ts";

const runStep: Directive = { case: "runStep", value: create(RunStepSchema, { step: 7n }) };
const commitStep: Directive = { case: "commitStep", value: create(CommitStepSchema) };
const formRing: Directive = { case: "formRing", value: create(FormRingSchema) };
const finish: Directive = { case: "finish", value: create(FinishSchema, { reason: "done" }) };

describe("DirectiveQueue", () => {
  it("gives directives in the order received", async () => {
    const queue = new DirectiveQueue(8);
    for (const directive of [commitStep, runStep, finish]) queue.push(directive);
    const seen: string[] = [];
    for await (const directive of queue) {
      seen.push(directive.case);
      if (directive.case === "finish") break;
    }
    assert.deepEqual(seen, ["commitStep", "runStep", "finish"]);
  });

  it("interrupts what comes before a new ring, and lets what comes after it work", async () => {
    const queue = new DirectiveQueue(8);
    const reader = queue[Symbol.asyncIterator]();
    queue.push(runStep);
    await reader.next();
    assert.equal(queue.interruption.aborted, false);
    queue.push(commitStep);
    assert.equal(queue.interruption.aborted, false);
    queue.push(formRing);
    assert.ok(queue.interruption.reason instanceof Interrupted);
    await reader.next();
    assert.equal(queue.interruption.aborted, true, "the stale commit is abandoned too");
    const ring = await reader.next();
    assert.equal(ring.value?.case, "formRing");
    assert.equal(queue.interruption.aborted, false);
  });

  it("stays interrupted while a second new ring waits behind the first", async () => {
    const queue = new DirectiveQueue(8);
    const reader = queue[Symbol.asyncIterator]();
    queue.push(formRing);
    queue.push(formRing);
    await reader.next();
    assert.equal(queue.interruption.aborted, true);
    await reader.next();
    assert.equal(queue.interruption.aborted, false);
  });

  it("gives what is there before it tells that the session is lost", async () => {
    const queue = new DirectiveQueue(8);
    queue.push(runStep);
    queue.fail(new SessionLost("gone"));
    queue.fail(new SessionLost("gone again"));
    assert.ok(queue.interruption.aborted);
    const reader = queue[Symbol.asyncIterator]();
    assert.equal((await reader.next()).value?.case, "runStep");
    await assert.rejects(reader.next(), { name: "SessionLost", message: "gone" });
  });

  it("is bounded", async () => {
    const queue = new DirectiveQueue(2);
    for (let i = 0; i < 3; i++) queue.push(commitStep);
    const reader = queue[Symbol.asyncIterator]();
    await reader.next();
    await reader.next();
    await assert.rejects(reader.next(), SessionLost);
  });
});
