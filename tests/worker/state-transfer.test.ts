import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StateAssembly } from "../../coordinator/server/state-stream.ts";
import { placeShare, type Share } from "../../foundation/parameters/shares.ts";
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

  it("keeps of moments a share alone, and gives it with its places", async () => {
    const middle = stateChunkBytes / 4 + 2;
    const share = [
      { start: 16, end: 37 },
      { start: 50, end: middle },
    ];
    const received = await receiveState(arriving(cutState(state)), table, share);
    assert.deepEqual(received.share, share);
    assert.deepEqual(received.parameters, state.parameters);
    for (const moment of ["firstMoment", "secondMoment"] as const) {
      for (const { start, end, at } of placeShare(share)) {
        const own = received[moment]!.slice(at, at + end - start);
        assert.deepEqual(own, state[moment].slice(start, end));
      }
    }
    const rest = [
      { start: 37, end: 50 },
      { start: middle, end: size },
    ];
    const assembly = new StateAssembly(table, true);
    const other = await receiveState(arriving(cutState(state)), table, rest);
    const first = await receiveState(arriving(cutState(state)), table, [{ start: 0, end: 16 }]);
    const given = { trainableSize: size, momentsOnly: true };
    for (const chunk of cutState(other, given)) await assembly.add(chunk, "rank 2");
    for (const chunk of cutState(first, { trainableSize: size }))
      await assembly.add(chunk, "rank 0");
    assert.throws(() => assembly.finish(), /section 2 has 64 of/u);
    for (const chunk of cutState(received, given)) await assembly.add(chunk, "rank 1");
    const { step, parameters, moments } = assembly.finish();
    assert.equal(step, state.step);
    assert.deepEqual(parameters, Float32Array.from(state.parameters));
    assert.deepEqual(moments?.first, state.firstMoment);
    assert.deepEqual(moments?.second, state.secondMoment);
  });

  it("gives an empty share as one empty chunk", () => {
    const share: Share = [];
    const nothing = new Float32Array(0);
    const moments = { firstMoment: nothing, secondMoment: nothing };
    const given = { trainableSize: size, momentsOnly: true };
    const chunks = [...cutState({ ...state, ...moments, share }, given)];
    assert.deepEqual(
      chunks.map(({ data, sectionBytes }) => [data.byteLength, Number(sectionBytes)]),
      [
        [0, size * 4],
        [0, size * 4],
      ],
    );
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
