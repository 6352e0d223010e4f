/** The bounded queue: what is dropped when, and in which order events leave. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cloudEventOf, eventOf, kindOf } from "../../../coordinator/nats/cloud-event.ts";
import { EventQueue, type WaitingEvent } from "../../../coordinator/nats/event-queue.ts";

function waiting(sequence: number, kind: "stepCommitted" | "epochStarted"): WaitingEvent {
  const event = eventOf({ case: kind, value: { step: BigInt(sequence) } });
  const place = { run: "r", sequence, time: new Date(0) };
  return { kind: kindOf(event), event: cloudEventOf(event, place) };
}

function leave(queue: EventQueue): string[] {
  const left: string[] = [];
  for (let head = queue.head(); head !== undefined; head = queue.head()) {
    left.push(head.event.sequence);
    queue.settle(head);
  }
  return left;
}

describe("event queue", () => {
  it("gives events back in order", () => {
    const queue = new EventQueue(5);
    for (const sequence of [1, 2, 3]) queue.push(waiting(sequence, "stepCommitted"));
    assert.equal(queue.length, 3);
    assert.deepEqual(leave(queue), ["1", "2", "3"]);
    assert.equal(queue.dropped, 0);
  });

  it("drops the oldest step when full, other events only when there is no step", () => {
    const queue = new EventQueue(3);
    queue.push(waiting(1, "epochStarted"));
    for (const sequence of [2, 3, 4]) queue.push(waiting(sequence, "stepCommitted"));
    assert.equal(queue.dropped, 1);
    for (const sequence of [5, 6, 7]) queue.push(waiting(sequence, "epochStarted"));
    assert.equal(queue.length, 3);
    assert.equal(queue.dropped, 4);
    assert.deepEqual(leave(queue), ["5", "6", "7"]);
  });

  it("settles an event only while it is the head", () => {
    const queue = new EventQueue(1);
    const first = waiting(1, "stepCommitted");
    queue.push(first);
    queue.push(waiting(2, "stepCommitted"));
    queue.settle(first);
    assert.deepEqual(leave(queue), ["2"]);
  });

  it("refuses a bound that is none", () => {
    assert.throws(() => new EventQueue(0), RangeError);
  });
});
