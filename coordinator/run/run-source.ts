/** What a training run serves to its workers besides directives: the state to start from, records, a place for states. */
import { status } from "@grpc/grpc-js";
import type { ReadMicrobatchesResponse, StateChunk } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Dataset } from "../data/dataset.ts";
import { CallError } from "../server/call-stream.ts";
import type { RunSource } from "../server/coordinator-server.ts";
import type { Member } from "../server/membership.ts";
import { chunksOf } from "../server/state-stream.ts";
import type { TrainingState } from "../server/state-stream.ts";
import type { Evaluator } from "./evaluation.ts";
import type { Fleet } from "./fleet.ts";
import { trainingFeed } from "./microbatch-feed.ts";
import type { Seat } from "./microbatch-feed.ts";
import type { StateRequests } from "./state-requests.ts";
import type { TrainingPlan } from "./training-plan.ts";

/** What it serves from. */
export interface TrainingSourceMeans {
  readonly fleet: Fleet;
  readonly plan: TrainingPlan;
  readonly train: Dataset;
  readonly evaluator: Evaluator;
  readonly states: StateRequests;
  /** The state that workers enter the ring with; null while none does. */
  readonly offer: { readonly state: TrainingState | null };
}

/** Serves a training run. */
export function trainingSource(means: TrainingSourceMeans): RunSource {
  const { fleet, plan, train, evaluator, states } = means;
  return {
    readState(): Iterable<StateChunk> {
      const { state } = means.offer;
      if (state === null) {
        throw new CallError(status.FAILED_PRECONDITION, "no ring is being entered");
      }
      return chunksOf(state);
    },
    readMicrobatches(member, request, signal): AsyncIterable<ReadMicrobatchesResponse> {
      const seat = seatOf(fleet, member, request.generation);
      if (request.split !== "train") return evaluator.feed(request, seat, signal);
      return trainingFeed(plan, train, { ...seat, step: Number(request.fromStep) }, signal);
    },
    writeState: (member, requests) => states.receive(member, requests),
  };
}

/** The place of a member in the ring that it names. Throws FAILED_PRECONDITION for an older ring. */
export function seatOf(fleet: Fleet, member: Member, generation: bigint): Seat {
  const rank = fleet.rankOf(member.workerId);
  if (rank < 0 || generation !== fleet.generation) {
    throw new CallError(
      status.FAILED_PRECONDITION,
      `generation ${generation} is not the present one`,
    );
  }
  return { rank, worldSize: fleet.worldSize };
}
