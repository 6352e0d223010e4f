/** What the rest of a worker may see of its life: heartbeats, metrics and logs are made of it. */
import type { StepReduced } from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { Directive } from "./session/directive-queue.ts";
import type { WorkerState } from "./worker-state.ts";

/** Told by the loop; must neither wait nor throw. */
export interface WorkerObserver {
  /** A directive's turn has come. */
  onDirective(directive: Directive): void;
  /** What the worker does from now on: `preparing`, `data`, `compute`, `exchange`, `update`, `evaluate`, `waiting`, …. */
  onActivity(activity: string): void;
  /** A directive is carried out. */
  onState(state: WorkerState): void;
  /** A step is reduced and not yet committed. */
  onStepReduced(reduced: StepReduced): void;
  /** A committed step is applied. */
  onStepApplied(step: number, learningRate: number, updateMs: number): void;
}

/** Tells several. */
export function observeAll(observers: readonly WorkerObserver[]): WorkerObserver {
  return {
    onDirective: (directive) => {
      for (const observer of observers) observer.onDirective(directive);
    },
    onActivity: (activity) => {
      for (const observer of observers) observer.onActivity(activity);
    },
    onState: (state) => {
      for (const observer of observers) observer.onState(state);
    },
    onStepReduced: (reduced) => {
      for (const observer of observers) observer.onStepReduced(reduced);
    },
    onStepApplied: (step, learningRate, updateMs) => {
      for (const observer of observers) observer.onStepApplied(step, learningRate, updateMs);
    },
  };
}
