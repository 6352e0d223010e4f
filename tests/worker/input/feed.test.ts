import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { BadInput } from "../../../foundation/bad-input.ts";
import {
  ReadMicrobatchesResponseSchema,
  type ReadMicrobatchesResponse,
} from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { Feed } from "../../../worker/input/feed.ts";
import type { Batch } from "../../../worker/model/model.ts";
import { anyBatch as batch } from "../../support/any-batch.ts";
import { StepFeed } from "../../../worker/step-feed.ts";

const forever = new AbortController().signal;

function response(step: number, microbatch: number): ReadMicrobatchesResponse {
  return create(ReadMicrobatchesResponseSchema, { step: BigInt(step), microbatch });
}

interface Count {
  read: number;
  closed: boolean;
}

async function* endless(count: Count): AsyncGenerator<ReadMicrobatchesResponse> {
  try {
    for (let step = 1; ; step++) {
      count.read += 1;
      yield response(step, 0);
      await turn();
    }
  } finally {
    count.closed = true;
  }
}

async function* listed(
  responses: readonly ReadMicrobatchesResponse[],
  failure?: Error,
): AsyncGenerator<ReadMicrobatchesResponse> {
  yield* responses;
  if (failure !== undefined) throw failure;
}

const collating = { collate: () => Promise.resolve(batch) };

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn();
}

describe("Feed", () => {
  it("holds so many ahead and reads no further until one is taken", async () => {
    const count = { read: 0, closed: false };
    const feed = new Feed({
      source: () => endless(count),
      collating,
      microbatchSize: 1,
      ahead: 3,
    });
    await settle();
    assert.equal(feed.held, 3);
    // One more is read and waits for its turn to be collated.
    assert.equal(count.read, 4);
    assert.equal((await feed.next(forever))?.step, 1);
    await settle();
    assert.equal(feed.held, 3);
    assert.equal(count.read, 5);
    feed.close();
    await settle();
    assert.ok(count.closed, "the stream is let go of");
  });

  it("gives null after the last", async () => {
    const feed = new Feed({
      source: () => listed([response(1, 0)]),
      collating,
      microbatchSize: 1,
      ahead: 2,
    });
    assert.equal((await feed.next(forever))?.microbatch, 0);
    assert.equal(await feed.next(forever), null);
    assert.equal(await feed.next(forever), null);
  });

  it("tells what cannot be collated in its turn, not before", async () => {
    let collated = 0;
    const failing = {
      collate: () => {
        collated += 1;
        return collated === 2
          ? Promise.reject(new BadInput({ column: "text", expected: "text" }))
          : Promise.resolve(batch);
      },
    };
    const feed = new Feed({
      source: () => listed([response(1, 0), response(1, 1)]),
      collating: failing,
      microbatchSize: 1,
      ahead: 4,
    });
    await settle();
    assert.equal((await feed.next(forever))?.microbatch, 0);
    await assert.rejects(feed.next(forever), BadInput);
  });

  it("tells that the stream broke, after what had come", async () => {
    const feed = new Feed({
      source: () => listed([response(1, 0)], new Error("stream broke")),
      collating,
      microbatchSize: 1,
      ahead: 4,
    });
    await settle();
    assert.equal((await feed.next(forever))?.step, 1);
    await assert.rejects(feed.next(forever), /stream broke/);
  });

  it("stops waiting when told to", async () => {
    const leaving = new AbortController();
    const feed = new Feed({
      source: () => listed([response(1, 0)]),
      collating: { collate: () => new Promise<Batch>(() => undefined) },
      microbatchSize: 1,
      ahead: 2,
    });
    const waiting = feed.next(leaving.signal);
    await settle();
    leaving.abort(new Error("told to leave"));
    await assert.rejects(waiting, /told to leave/);
  });
});

describe("StepFeed", () => {
  const feedOf = (responses: readonly ReadMicrobatchesResponse[]): StepFeed =>
    new StepFeed(
      new Feed({ source: () => listed(responses), collating, microbatchSize: 1, ahead: 2 }),
    );

  it("gives a step's batches again until the next step", async () => {
    let collated = 0;
    const numbered = {
      collate: () => Promise.resolve({ ...batch, samples: ++collated }),
    };
    const feed = new StepFeed(
      new Feed({
        source: () => listed([response(1, 0), response(1, 2), response(2, 1)]),
        collating: numbered,
        microbatchSize: 1,
        ahead: 2,
      }),
    );
    const samplesOf = async (step: number, microbatch: number): Promise<number> =>
      (await feed.take(step, microbatch, forever)).samples;
    assert.equal(await samplesOf(1, 0), 1);
    assert.equal(await samplesOf(1, 2), 2);
    assert.equal(await samplesOf(1, 0), 1);
    assert.equal(await samplesOf(1, 2), 2);
    assert.equal(await samplesOf(2, 1), 3);
  });

  it("skips what was dealt for steps that are over", async () => {
    const feed = feedOf([response(1, 0), response(2, 0)]);
    assert.equal((await feed.take(2, 0, forever)).shapeKey, "any");
  });

  it("refuses what was not dealt", async () => {
    await assert.rejects(feedOf([response(1, 1)]).take(1, 0, forever), /microbatch 1 of step 1/);
    await assert.rejects(feedOf([]).take(1, 0, forever), /have ended/);
  });
});
