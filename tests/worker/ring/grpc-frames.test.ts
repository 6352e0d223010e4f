import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { framePrefix, FrameReader } from "../../../worker/ring/grpc-frames.ts";
import { MessageMemory } from "../../../worker/ring/message-memory.ts";

function readerInto(seen: number[][], bytesMax: number): FrameReader {
  return new FrameReader({
    bytesMax,
    take: (length, first) => {
      assert.equal(first.byteLength, Math.min(64, length));
      // In two pieces, of which either may be empty.
      const cut = (first[0] ?? 0) % (length + 1);
      return [new Uint8Array(cut), new Uint8Array(length - cut)];
    },
    message: (pieces) => seen.push(Array.from(Buffer.concat(pieces))),
  });
}

describe("frames of gRPC", () => {
  it("give the same messages however the stream is cut", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 40 });
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 });
    fc.assert(
      fc.property(messages, cuts, (sent, lengths) => {
        const stream = Buffer.concat(
          sent.flatMap((message) => [framePrefix(message.byteLength), message]),
        );
        const seen: number[][] = [];
        const reader = readerInto(seen, 300);
        let at = 0;
        for (const length of lengths) {
          reader.read(stream.subarray(at, at + length));
          at += length;
        }
        reader.read(stream.subarray(at));
        assert.deepEqual(
          seen,
          sent.map((message) => [...message]),
        );
      }),
    );
  });
  it("refuse a message that is too long, and one that is compressed", () => {
    assert.throws(() => readerInto([], 300).read(framePrefix(301)), /longer than 300 bytes.*301/);
    const compressed = framePrefix(2);
    compressed.writeUInt8(1, 0);
    assert.throws(() => readerInto([], 300).read(compressed), /compressed/);
  });
});

describe("memory for messages", () => {
  it("puts payloads at places that are multiples of 64, and is used again", () => {
    const memory = new MessageMemory(100_000, false);
    const first = memory.take(90_000, 23);
    assert.equal(first.byteLength, 90_000);
    assert.equal((first.byteOffset + 23) % 64, 0);
    const second = memory.take(100_000, 64);
    assert.notEqual(second.buffer, first.buffer);
    memory.give(first);
    const third = memory.take(100_000, 1);
    assert.equal(third.buffer, first.buffer);
    assert.equal((third.byteOffset + 1) % 64, 0);
    assert.equal(memory.take(10, 3).byteLength, 10);
  });
});
