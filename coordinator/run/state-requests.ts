/**
 * Asking a worker for the state of the last committed step: a Checkpoint directive goes out, its upload comes in on
 * another call, and the two find each other here.
 */
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { CheckpointSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { WriteStateRequest } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { CallError } from "../server/call-stream.ts";
import type { Member } from "../server/membership.ts";
import { StateAssembly } from "../server/state-stream.ts";
import type { TrainingState } from "../server/state-stream.ts";
import type { Fleet } from "./fleet.ts";

interface Pending {
  readonly member: Member;
  readonly withOptimizer: boolean;
  readonly step: number;
  readonly resolve: (state: TrainingState) => void;
}

/** The requests of one run. */
export class StateRequests {
  readonly #table: ParameterTable;
  readonly #pending = new Map<bigint, Pending>();
  #count = 0n;

  constructor(table: ParameterTable) {
    this.#table = table;
  }

  /** The state of `step`, from this member. Throws when the member is lost meanwhile. */
  async take(
    fleet: Fleet,
    from: { readonly member: Member; readonly step: number; readonly withOptimizer: boolean },
    signal: AbortSignal,
  ): Promise<TrainingState> {
    const checkpoint = ++this.#count;
    const arrived = new Promise<TrainingState>((resolve) => {
      this.#pending.set(checkpoint, { ...from, resolve });
    });
    try {
      const { step, withOptimizer } = from;
      const value = create(CheckpointSchema, { checkpoint, step: BigInt(step), withOptimizer });
      fleet.send(from.member, { case: "checkpoint", value });
      return await fleet.while(arrived, signal);
    } finally {
      this.#pending.delete(checkpoint);
    }
  }

  /** Takes an upload in; gives the bytes that arrived. Throws for one that nobody asked this member for. */
  async receive(member: Member, requests: AsyncIterable<WriteStateRequest>): Promise<number> {
    let pending: Pending | undefined;
    let assembly: StateAssembly | undefined;
    let bytes = 0;
    for await (const { checkpoint, chunk } of requests) {
      pending ??= this.#pending.get(checkpoint);
      if (pending?.member.workerId !== member.workerId || chunk === undefined) {
        throw new CallError(status.FAILED_PRECONDITION, `checkpoint ${checkpoint} is not expected`);
      }
      assembly ??= new StateAssembly(this.#table, pending.withOptimizer);
      assembly.add(chunk);
      bytes += chunk.data.byteLength;
    }
    const state = assembly?.finish();
    if (pending === undefined || state === undefined) {
      throw new CallError(status.INVALID_ARGUMENT, "an empty state was sent");
    }
    if (state.step !== pending.step) {
      throw new RangeError(`Cannot use state of step ${state.step}: ${pending.step} was asked for`);
    }
    pending.resolve(state);
    return bytes;
  }
}
