/** PullResponse by our own writer and reader beside the generated descriptor's: the bytes and the fields are the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { PullResponseSchema } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import {
  emptyPullMessage,
  readPullHead,
  readPullMessage,
  writePullMessage,
  type PullMessage,
} from "../../proto/pull-response.ts";

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const messages: fc.Arbitrary<PullMessage> = fc.record({
  generation: uint64,
  collective: uint64,
  hop: uint32,
  offset: uint64,
  data: fc.uint8Array({ maxLength: 300 }),
  sharedBytes: uint32,
  offerSharedMemory: fc.boolean(),
  laneBytes: uint32,
  lane: uint32,
  offerLanes: fc.array(fc.string(), { maxLength: 8 }),
});

function bytesOf(message: PullMessage): Buffer {
  const { head, payload, tail } = writePullMessage(message);
  return Buffer.concat([head, payload, tail]);
}

function fieldsOf(message: PullMessage): object {
  return { ...message, data: [...message.data] };
}

describe("PullResponse", () => {
  it("is written as the descriptor writes it", () => {
    fc.assert(
      fc.property(messages, (message) => {
        const expected = toBinary(PullResponseSchema, create(PullResponseSchema, message));
        assert.deepEqual(bytesOf(message), Buffer.from(expected));
      }),
    );
  });
  it("is read as the descriptor reads it, with fields of a later version and fields twice", () => {
    fc.assert(
      fc.property(messages, messages, fc.string(), (first, second, unknown) => {
        const later = new BinaryWriter();
        later.tag(99, WireType.LengthDelimited).string(unknown).tag(98, WireType.Bit64).fixed64(7n);
        const bytes = Buffer.concat([bytesOf(first), later.finish(), bytesOf(second)]);
        const {
          $typeName: _type,
          $unknown: _rest,
          ...expected
        } = fromBinary(PullResponseSchema, bytes);
        assert.deepEqual(fieldsOf(readPullMessage(bytes)), fieldsOf(expected));
      }),
    );
  });
  it("copies no payload", () => {
    fc.assert(
      fc.property(messages, (message) => {
        assert.equal(writePullMessage(message).payload, message.data);
        const bytes = bytesOf(message);
        const { data } = readPullMessage(bytes);
        if (data.byteLength > 0) assert.equal(data.buffer, bytes.buffer);
      }),
    );
  });
  it("shows in its first bytes what precedes its payload and where that lies, or nothing", () => {
    fc.assert(
      fc.property(messages, fc.nat(80), (message, shown) => {
        const bytes = bytesOf(message);
        const found = readPullHead(bytes.subarray(0, shown));
        const { data } = readPullMessage(bytes);
        const payloadAt = data.byteOffset - bytes.byteOffset;
        if (data.byteLength === 0 || payloadAt > shown) {
          assert.equal(found, null);
          return;
        }
        assert.ok(found !== null);
        assert.equal(found.payloadAt, payloadAt);
        assert.equal(found.payloadBytes, data.byteLength);
        const { generation, collective, hop, offset } = message;
        const before = { ...emptyPullMessage, generation, collective, hop, offset };
        assert.deepEqual(found.message, before);
      }),
    );
  });
  it("is refused when it is something else", () => {
    const wrong = new BinaryWriter().tag(1, WireType.LengthDelimited).string("generation");
    assert.throws(() => readPullMessage(wrong.finish()), /field 1 has wire type 2/);
    const cut = new BinaryWriter().tag(5, WireType.LengthDelimited).uint32(9);
    assert.throws(() => readPullMessage(cut.finish()), RangeError);
  });
});
