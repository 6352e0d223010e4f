/**
 * Where a worker stands between two directives. Only the loop in `train.ts` moves it on:
 *
 *   joined ─Prepare→ prepared ─FormRing→ in-ring ─RunStep→ reduced ─CommitStep→ in-ring
 *                                  │  ↖───────FormRing────────┘│
 *                                  └── the ring breaks → ring-broken ─FormRing→ in-ring
 *
 * Finish ends the worker from every state.
 */
import type { PreparedJob } from "./job.ts";
import type { Ring } from "./ring/ring.ts";
import type { TrainingMeans } from "./training-means.ts";

/** A place in the ring of one generation. */
export interface RingPlace {
  readonly ring: Ring;
  /** What a job that trains needs there: the batches dealt to it, and the sum. */
  readonly training: TrainingMeans | null;
}

/** The state. */
export type WorkerState =
  | { readonly kind: "joined" }
  | { readonly kind: "prepared"; readonly job: PreparedJob }
  | { readonly kind: "in-ring"; readonly job: PreparedJob; readonly place: RingPlace }
  /** The reduced gradient of `step` is held; nothing has changed yet. */
  | {
      readonly kind: "reduced";
      readonly job: PreparedJob;
      readonly place: RingPlace;
      readonly step: bigint;
      readonly attempt: number;
    }
  /** Waits for the next directive, having abandoned what it did. */
  | {
      readonly kind: "ring-broken";
      readonly job: PreparedJob;
      readonly generation: bigint;
      readonly reason: string;
    };

/** The job of a worker that has one. */
export function jobOf(state: WorkerState): PreparedJob | null {
  return state.kind === "joined" ? null : state.job;
}

/** The place of a worker that is in a ring. */
export function placeOf(state: WorkerState): RingPlace | null {
  return state.kind === "in-ring" || state.kind === "reduced" ? state.place : null;
}

/** Generation that a worker is in or was last in; 0 before the first ring. */
export function generationOf(state: WorkerState): bigint {
  if (state.kind === "ring-broken") return state.generation;
  return placeOf(state)?.ring.generation ?? 0n;
}
