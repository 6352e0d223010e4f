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
import { Unreadable } from "../server/lent-memory.ts";
import { StateAssembly } from "../server/state-stream.ts";
import type { TrainingState } from "../server/state-stream.ts";
import type { Fleet } from "./fleet.ts";

/** What is asked for. */
interface Asked {
  /** Who gives it: one worker all of it, or each the moments of its share and the first the weights. */
  readonly givers: readonly Member[];
  readonly withOptimizer: boolean;
  readonly step: number;
}

/** What has come of an upload. */
export interface Received {
  readonly bytes: number;
  /** Whether it was lent and could not be read, and has to come again. */
  readonly unread: boolean;
}

interface Pending extends Asked {
  readonly assembly: StateAssembly;
  /** Ids of the givers whose uploads are not over. */
  readonly missing: Set<string>;
  readonly resolve: (state: TrainingState) => void;
  readonly reject: (error: unknown) => void;
}

/** The requests of one run. */
export class StateRequests {
  readonly #table: ParameterTable;
  readonly #hostId: string;
  readonly #pending = new Map<bigint, Pending>();
  #count = 0n;

  /** @param hostId this process's host: workers on it may lend what they are asked for */
  constructor(table: ParameterTable, hostId: string) {
    this.#table = table;
    this.#hostId = hostId;
  }

  /** The state of `step`, from these members. Throws when one is lost meanwhile. */
  async take(fleet: Fleet, asked: Asked, signal: AbortSignal): Promise<TrainingState> {
    const over = new AbortController();
    try {
      const state = this.ask(fleet, asked, AbortSignal.any([signal, over.signal]));
      return await fleet.while(state, signal);
    } finally {
      over.abort(new Error("Nobody waits for the state any more"));
    }
  }

  /**
   * The same while the fleet is at other things: the directives are sent before this returns. Rejects when a giver is gone
   * before it has given its part, when a part is wrong, or with the signal's reason.
   */
  async ask(fleet: Pick<Fleet, "send">, asked: Asked, signal: AbortSignal): Promise<TrainingState> {
    signal.throwIfAborted();
    const checkpoint = ++this.#count;
    const { givers, step, withOptimizer } = asked;
    const assembly = new StateAssembly(this.#table, withOptimizer);
    let abort = (): void => undefined;
    try {
      return await new Promise<TrainingState>((resolve, reject) => {
        abort = () => reject(signal.reason as Error);
        signal.addEventListener("abort", abort);
        const missing = new Set(givers.map(({ workerId }) => workerId));
        this.#pending.set(checkpoint, { ...asked, assembly, missing, resolve, reject });
        for (const [place, giver] of givers.entries()) {
          const value = create(CheckpointSchema, {
            checkpoint,
            step: BigInt(step),
            withOptimizer,
            momentsOnly: place > 0,
            mayLend: giver.hostId === this.#hostId,
          });
          fleet.send(giver, { case: "checkpoint", value });
        }
      });
    } catch (error) {
      assembly.free();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
      this.#pending.delete(checkpoint);
    }
  }

  /** A worker is gone: what it has not given by now does not come. */
  gone(workerId: string, reason: string): void {
    for (const { missing, reject } of this.#pending.values())
      if (missing.has(workerId)) reject(new Error(`${workerId} is lost: ${reason}`));
  }

  /** Takes an upload in. Throws for one that nobody asked this member for. */
  async receive(
    { workerId }: Member,
    requests: AsyncIterable<WriteStateRequest>,
  ): Promise<Received> {
    let pending: Pending | undefined;
    let isAbandoned = false;
    let unread = false;
    let bytes = 0;
    try {
      for await (const { checkpoint, chunk } of requests) {
        const asked = this.#pending.get(checkpoint);
        // Nobody waits for it any more: another giver was lost, and the run goes on without the checkpoint.
        isAbandoned = asked === undefined && checkpoint > 0n && checkpoint <= this.#count;
        if (isAbandoned || unread) continue;
        if (asked?.missing.has(workerId) !== true || chunk === undefined) {
          throw new CallError(
            status.FAILED_PRECONDITION,
            `checkpoint ${checkpoint} is not expected`,
          );
        }
        pending = asked;
        try {
          bytes += await asked.assembly.add(chunk, workerId);
        } catch (error) {
          isAbandoned = !this.#pending.has(checkpoint);
          unread = error instanceof Unreadable;
          if (!isAbandoned && !unread) throw error;
          asked.assembly.forget(workerId);
        }
      }
      if (unread) return { bytes: 0, unread };
      if (!isAbandoned) finishPart(pending, workerId);
      return { bytes, unread };
    } catch (error) {
      pending?.reject(error);
      throw error;
    }
  }
}

/** An upload is over: with the last one the state is whole. */
function finishPart(pending: Pending | undefined, workerId: string): void {
  if (pending === undefined)
    throw new CallError(status.INVALID_ARGUMENT, "an empty state was sent");
  pending.missing.delete(workerId);
  if (pending.missing.size > 0) return;
  const state = pending.assembly.finish();
  if (state.step !== pending.step) {
    throw new RangeError(`Cannot use state of step ${state.step}: ${pending.step} was asked for`);
  }
  pending.resolve(state);
}
