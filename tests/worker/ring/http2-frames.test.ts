/** HTTP/2's frames: their bytes, how a stream of them is split, and how DATA is cut into them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { DataSender } from "../../../worker/ring/data-sender.ts";
import { FrameSplitter } from "../../../worker/ring/frame-splitter.ts";
import {
  frameHeadBytes,
  readFrameHead,
  readSettings,
  windowUpdate,
  writeFrameHead,
  type FrameHead,
} from "../../../worker/ring/http2-frames.ts";

describe("frames of HTTP/2", () => {
  it("are read as they were written", () => {
    const head = { length: 0xfffffe, type: 4, flags: 9, streamId: 0x7ffffffe };
    assert.deepEqual(readFrameHead(writeFrameHead(head)), head);
    // RFC 9113, section 6.9: length 4, type 8, no flags, the stream, the increment.
    assert.equal(windowUpdate(3, 65_536).toString("hex"), "000004080000000003" + "00010000");
  });
  it("say what a sender has to know of settings, and nothing of others", () => {
    const settings = Buffer.from("000300000064" + "000400100000" + "000500004001", "hex");
    const expected = { initialWindowBytes: 0x100000, frameBytesMax: 0x4001 };
    assert.deepEqual(readSettings(settings), expected);
    assert.deepEqual(readSettings(Buffer.alloc(0)), {});
  });
});

/** Splits a stream that comes in pieces, DATA taken straight into memory where it may be; what came of it. */
function split(stream: Buffer, lengths: readonly number[], preface: number, inPlace: boolean) {
  const passed: Buffer[] = [];
  const taken: Buffer[] = [];
  const splitter = new FrameSplitter({
    prefaceBytes: preface,
    pass: (bytes) => passed.push(Buffer.from(bytes)),
    begin: ({ type, length }) => {
      if (type !== 0) return null;
      const memory = Buffer.alloc(length);
      let at = 0;
      return {
        take: (piece) => (at += Buffer.from(piece).copy(memory, at)),
        room: () => (inPlace ? memory.subarray(at) : null),
        filled: (count) => (at += count),
        end: () => taken.push(memory),
      };
    },
  });
  let at = 0;
  const lengthsWithRest = [...lengths, stream.byteLength];
  for (const length of lengthsWithRest) {
    const room = splitter.room();
    const count = Math.min(room?.byteLength ?? length, length, stream.byteLength - at);
    const piece = stream.subarray(at, at + count);
    if (room === null) splitter.read(piece);
    else {
      room.set(piece);
      splitter.filled(count);
    }
    at += count;
    // What was cut short by the room comes next.
    if (count < length && at < stream.byteLength) lengthsWithRest.push(stream.byteLength);
  }
  return { passed: Buffer.concat(passed), taken };
}

describe("a splitter of frames", () => {
  it("takes and passes on the same however the stream is cut", () => {
    const frames = fc.array(
      fc.record({ type: fc.constantFrom(0, 0, 1, 6), payload: fc.uint8Array({ maxLength: 60 }) }),
      { maxLength: 8 },
    );
    const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 30 });
    fc.assert(
      fc.property(frames, cuts, fc.nat(30), fc.boolean(), (sent, lengths, preface, inPlace) => {
        const bytesOf = ({ type, payload }: (typeof sent)[number]): Buffer => {
          const head = { length: payload.byteLength, type, flags: 0, streamId: 1 };
          return Buffer.concat([writeFrameHead(head), payload]);
        };
        const before = Buffer.alloc(preface, 7);
        const stream = Buffer.concat([before, ...sent.map(bytesOf)]);
        const { passed, taken } = split(stream, lengths, preface, inPlace);
        const others = sent.filter(({ type }) => type !== 0).map(bytesOf);
        assert.deepEqual(passed, Buffer.concat([before, ...others]));
        assert.deepEqual(
          taken,
          sent.filter(({ type }) => type === 0).map(({ payload }) => Buffer.from(payload)),
        );
      }),
    );
  });
});

/** A sender whose frames are kept. */
function keepingSender() {
  const frames: FrameHead[] = [];
  const payloads: Buffer[] = [];
  const sender = new DataSender((pieces, sent) => {
    const bytes = Buffer.concat(pieces);
    frames.push(readFrameHead(bytes));
    payloads.push(bytes.subarray(frameHeadBytes));
    sent?.();
  });
  const lengths = (): readonly number[] => frames.map(({ length }) => length);
  return { sender, frames, lengths, sentBytes: () => Buffer.concat(payloads) };
}

function nothing(): void {
  // Nobody waits.
}

describe("a sender of DATA", () => {
  const message = [Buffer.alloc(5, 1), Buffer.alloc(40_000, 2)];
  it("cuts by the largest frame, and sends nothing before the stream's HEADERS", () => {
    const { sender, lengths, sentBytes, frames } = keepingSender();
    sender.add(1);
    sender.send(1, message, nothing);
    assert.deepEqual(lengths(), []);
    sender.open(1);
    assert.deepEqual(lengths(), [16_384, 16_384, 7_237]);
    assert.deepEqual(sentBytes(), Buffer.concat(message));
    assert.ok(frames.every(({ type, flags, streamId }) => type + flags === 0 && streamId === 1));
    sender.settings({ frameBytesMax: 1_000_000, initialWindowBytes: 1_000_000 });
    sender.widen(0, 1_000_000);
    sender.send(1, message, nothing);
    assert.equal(lengths().at(-1), 40_005);
  });
  it("stays within the stream's window and the connection's, and goes on when they widen", () => {
    const { sender, lengths, sentBytes } = keepingSender();
    sender.settings({ frameBytesMax: 1_000_000, initialWindowBytes: 30_000 });
    for (const stream of [1, 3]) {
      sender.add(stream);
      sender.open(stream);
    }
    let left = 0;
    sender.send(1, message, () => (left += 1));
    assert.deepEqual([lengths(), left], [[30_000], 0]);
    sender.widen(1, 5);
    assert.deepEqual([lengths(), left], [[30_000, 5], 0]);
    sender.settings({ initialWindowBytes: 40_000 });
    assert.deepEqual([lengths(), left], [[30_000, 5, 10_000], 1]);
    // 65,535 − 40,005 are left of the connection's.
    sender.send(3, message, () => (left += 1));
    assert.deepEqual([lengths().at(-1), left], [25_530, 1]);
    sender.widen(0, 1_000_000);
    assert.deepEqual([lengths().at(-1), left], [14_470, 1]);
    sender.widen(3, 1_000_000);
    assert.deepEqual([lengths().at(-1), left], [5, 2]);
    assert.deepEqual(sentBytes(), Buffer.concat([...message, ...message]));
  });
  it("gives back what a stream that is over had to send", () => {
    const { sender, lengths } = keepingSender();
    sender.add(1);
    let left = 0;
    sender.send(1, message, () => (left += 1));
    sender.remove(1);
    assert.equal(left, 1);
    sender.send(1, message, () => (left += 1));
    sender.open(1);
    assert.deepEqual([lengths(), left], [[], 2]);
  });
});
