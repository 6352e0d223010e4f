/** Events in their envelopes, and the subjects that they go to. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { cloudEventOf, eventOf, kindOf } from "../../../coordinator/nats/cloud-event.ts";
import { EventSchema } from "../../../proto/gen/ringmaster/v1/event_pb.ts";
import { commandSubject, eventSubject, eventStream, runToken } from "../../../proto/subjects.ts";

describe("cloud event", () => {
  it("carries the message as protobuf JSON, defaults included", () => {
    const event = eventOf({
      case: "checkpointWritten",
      value: { step: 0n, folder: "checkpoint-0" },
    });
    const place = { run: "a run/1", sequence: 7, time: new Date(1.5e12) };
    assert.deepEqual(cloudEventOf(event, place), {
      specversion: "1.0",
      id: "a run/1-7",
      source: "/ringmaster/a%20run%2F1",
      type: "ringmaster.v1.CheckpointWritten",
      time: "2017-07-14T02:40:00.000Z",
      datacontenttype: "application/json",
      sequence: "7",
      data: { step: "0", folder: "checkpoint-0" },
    });
  });

  it("keeps a loss that is no number", () => {
    const event = eventOf({ case: "stepCommitted", value: { loss: Number.NaN } });
    const { data } = cloudEventOf(event, { run: "r", sequence: 1, time: new Date(0) });
    assert.equal(data["loss"], "NaN");
  });

  it("refuses an event without a kind", () => {
    assert.throws(() => kindOf(create(EventSchema)), TypeError);
  });
});

describe("subjects", () => {
  it("name run and kind in tokens that NATS gives no other meaning", () => {
    assert.equal(
      eventSubject("mrpc-1.5 *>é", "stepCommitted"),
      "ringmaster.mrpc-1_5____.event.step-committed",
    );
    assert.equal(eventSubject("r", ">"), "ringmaster.r.event.>");
    assert.equal(
      commandSubject("r", "set-learning-rate"),
      "ringmaster.r.command.set-learning-rate",
    );
    assert.equal(eventStream("a.b"), "RINGMASTER_a_b");
    assert.equal(runToken("x".repeat(200)).length, 128);
    assert.throws(() => runToken(""), RangeError);
  });
});
