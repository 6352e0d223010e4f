import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { layOutTable } from "../../foundation/parameters/table.ts";
import type { StateChunk } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { stateChunkBytes } from "../../proto/limits.ts";
import { cutState, receiveState } from "../../worker/state-transfer.ts";

/** Larger than a chunk, and no multiple of one. */
const size = stateChunkBytes / 4 + 5;
const table = layOutTable(
  [
    { name: "frozen", shape: [7], kind: "parameter", decay: true },
    { name: "trained", shape: [size], kind: "parameter", decay: true },
  ],
  new Set(["frozen"]),
);

const state = {
  parameters: Float32Array.from({ length: size + 7 }, (_, i) => i),
  firstMoment: Float32Array.from({ length: size }, (_, i) => -i),
  secondMoment: Float32Array.from({ length: size }, (_, i) => i / 2),
  step: 12,
};

async function* arriving(chunks: Iterable<StateChunk>): AsyncGenerator<StateChunk> {
  yield* chunks;
}

describe("state transfer", () => {
  it("puts together what was cut, in shared memory", async () => {
    const chunks = [...cutState(state)];
    assert.ok(chunks.every(({ data }) => data.byteLength <= stateChunkBytes));
    const received = await receiveState(arriving(chunks), table);
    assert.deepEqual(received, state);
    assert.ok(received.parameters.buffer instanceof SharedArrayBuffer);
  });

  it("does without moments", async () => {
    const { parameters, step } = state;
    const received = await receiveState(arriving(cutState({ parameters, step })), table);
    assert.deepEqual(Object.keys(received).toSorted(), ["parameters", "step"]);
  });

  it("refuses what is missing, out of order, or of another table", async () => {
    const chunks = [...cutState(state)];
    const other = layOutTable([{ name: "other", shape: [3], kind: "parameter", decay: true }]);
    await assert.rejects(receiveState(arriving(chunks.slice(0, 1)), table), /bytes have come/);
    await assert.rejects(receiveState(arriving(chunks.slice(1)), table), /the next one is 0/);
    await assert.rejects(receiveState(arriving(chunks), other), /the table has 12/);
    await assert.rejects(receiveState(arriving([]), table), /no parameters/);
  });
});
