/** Messages with a piece of a state by our own writer beside the generated descriptor's: the bytes are the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  ReadStateResponseSchema,
  StateChunkSchema,
  StateSection,
  WriteStateRequestSchema,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { writeReadStateResponse, writeWriteStateRequest } from "../../proto/state-message.ts";

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const chunks = fc.option(
  fc
    .record({
      section: fc.constantFrom(
        StateSection.UNSPECIFIED,
        StateSection.PARAMETERS,
        StateSection.SECOND_MOMENT,
      ),
      offset: uint64,
      data: fc.uint8Array({ maxLength: 300 }),
      sectionBytes: uint64,
      step: uint64,
    })
    .map((fields) => create(StateChunkSchema, fields)),
  { nil: undefined },
);

describe("a piece of a state", () => {
  it("is written as the descriptor writes it, on its way to a worker", () => {
    fc.assert(
      fc.property(chunks, (chunk) => {
        const message = create(ReadStateResponseSchema, chunk === undefined ? {} : { chunk });
        const expected = Buffer.from(toBinary(ReadStateResponseSchema, message));
        assert.deepEqual(writeReadStateResponse(message), expected);
      }),
    );
  });

  it("is written as the descriptor writes it, on its way to the coordinator", () => {
    fc.assert(
      fc.property(chunks, uint64, (chunk, checkpoint) => {
        const fields = chunk === undefined ? { checkpoint } : { checkpoint, chunk };
        const message = create(WriteStateRequestSchema, fields);
        const expected = Buffer.from(toBinary(WriteStateRequestSchema, message));
        assert.deepEqual(writeWriteStateRequest(message), expected);
      }),
    );
  });
});
