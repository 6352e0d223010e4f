/** A state that is asked of a worker: lent where both share a host, sent where they do not, and taken as a whole or not at all. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Fleet } from "../../../coordinator/run/fleet.ts";
import { StateRequests } from "../../../coordinator/run/state-requests.ts";
import type { Member } from "../../../coordinator/server/membership.ts";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";
import {
  WriteStateRequestSchema,
  type Checkpoint,
  type StateChunk,
  type WriteStateRequest,
} from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import type { EngineState, StateFiles } from "../../../worker/engine/engine.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { MemoryFiles, type MemoryFile } from "../../../worker/exact/memory-files.ts";
import { cutState } from "../../../worker/state-transfer.ts";
import { installedBinding } from "../../support/installed-binding.ts";

const files = MemoryFiles.load(exactAddonFile(await installedBinding()));
const skip = files === null ? "this system has no memory that processes can share so" : false;
const size = 40_000;
const table = layOutTable([{ name: "weight", shape: [size], kind: "parameter", decay: true }]);
const never = new AbortController().signal;

function memberOf(hostId: string): Member {
  const place = { ringAddress: "127.0.0.1:1", processId: 1, metricsAddress: "", environment: {} };
  return { ...place, workerId: "worker-0", incarnation: 1n, lastHeardMs: 0, hostId };
}

/** A state whose vectors all have files. */
function lentState(): EngineState & { readonly files: StateFiles } {
  const under: MemoryFile[] = [];
  const [parameters, firstMoment, secondMoment] = [1, 2, 3].map((factor) => {
    const vector = allocateShared(size, (memory) => under.push(files!.layUnder(memory)));
    return vector.fill(factor);
  });
  for (const vector of [parameters!, firstMoment!, secondMoment!]) {
    for (let at = 0; at < size; at += 7) vector[at] = at;
  }
  return {
    parameters: parameters!,
    firstMoment: firstMoment!,
    secondMoment: secondMoment!,
    step: 3,
    files: { parameters: under[0], firstMoment: under[1], secondMoment: under[2] },
  };
}

/** Requests of one run, one of which is asked for. */
function askOne(member: Member, signal: AbortSignal = never) {
  const states = new StateRequests(table, "here");
  const sent: Checkpoint[] = [];
  const fleet: Pick<Fleet, "send"> = {
    send: (_giver, directive) => {
      if (directive.case === "checkpoint") sent.push(directive.value);
    },
  };
  const asked = { givers: [member], withOptimizer: true, step: 3 };
  const coming = states.ask(fleet, asked, signal);
  return { states, sent, coming };
}

async function* requestsOf(chunks: Iterable<StateChunk>): AsyncGenerator<WriteStateRequest> {
  for (const chunk of chunks) yield create(WriteStateRequestSchema, { checkpoint: 1n, chunk });
}

describe("a state that is asked of a worker", { skip }, () => {
  it("may be lent on the coordinator's host only", () => {
    const [here, there] = [askOne(memberOf("here")), askOne(memberOf("there"))];
    assert.deepEqual([here.sent[0]?.mayLend, there.sent[0]?.mayLend], [true, false]);
  });

  it("is read where it lies", async () => {
    const member = memberOf("here");
    const state = lentState();
    const { states, coming } = askOne(member);
    const chunks = [...cutState(state, { lends: true })];
    assert.deepEqual(
      chunks.map(({ data }) => data.byteLength),
      [0, 0, 0],
    );
    const received = await states.receive(member, requestsOf(chunks));
    assert.deepEqual(received, { bytes: 3 * 4 * size, unread: false });
    const { parameters, moments, step } = await coming;
    assert.equal(step, 3);
    assert.deepEqual(parameters, Float32Array.from(state.parameters));
    assert.deepEqual(moments?.first, Float32Array.from(state.firstMoment!));
    assert.deepEqual(moments?.second, Float32Array.from(state.secondMoment!));
  });

  it("comes again with its values where what is lent cannot be read", async () => {
    const member = memberOf("here");
    const state = lentState();
    const { states, coming } = askOne(member);
    // The second one fails, when the first has been read.
    const wrong = { ...state.files, firstMoment: { ...state.files.firstMoment!, inode: 1n } };
    const lent = cutState({ ...state, files: wrong }, { lends: true });
    assert.deepEqual(await states.receive(member, requestsOf(lent)), { bytes: 0, unread: true });
    const sent = await states.receive(member, requestsOf(cutState(state)));
    assert.deepEqual(sent, { bytes: 3 * 4 * size, unread: false });
    const { moments } = await coming;
    assert.deepEqual(moments?.first, Float32Array.from(state.firstMoment!));
  });

  it("is no worker's fault when nobody waits for it any more", async () => {
    const member = memberOf("here");
    const over = new AbortController();
    const { states, coming } = askOne(member, over.signal);
    const reason = new Error("over");
    const chunks = [...cutState(lentState(), { lends: true })];
    async function* abandoned(): AsyncGenerator<WriteStateRequest> {
      yield* requestsOf(chunks.slice(0, 1));
      // While the next one is read.
      setImmediate(() => over.abort(reason));
      yield* requestsOf(chunks.slice(1));
    }
    const received = states.receive(member, abandoned());
    await assert.rejects(coming, reason);
    await received;
  });
});
