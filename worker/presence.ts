/** What heartbeats and the readiness page say of the worker: kept up to date by the loop, read at any time. */
import type { Pulse } from "./session/session.ts";
import type { WorkerObserver } from "./worker-observer.ts";
import { generationOf, type WorkerState } from "./worker-state.ts";

/** The worker's present state in a few words. */
export class Presence implements WorkerObserver {
  #activity = "waiting";
  #state: WorkerState = { kind: "joined" };
  readonly #residentBytes: () => number;
  /** Whether a command holds the next step back. */
  pausing: () => boolean = () => false;

  /** @param residentBytes asked at every pulse */
  constructor(residentBytes: () => number) {
    this.#residentBytes = residentBytes;
  }

  /** For a heartbeat. */
  pulse(): Pulse {
    return {
      state: this.#describe(),
      generation: generationOf(this.#state),
      residentBytes: this.#residentBytes(),
    };
  }

  /** Whether the worker computes in a ring, and if not, why. */
  readiness(): { readonly ready: boolean; readonly reason: string } {
    const ready = this.#state.kind === "in-ring" || this.#state.kind === "reduced";
    return { ready, reason: this.#describe() };
  }

  onDirective(): void {
    // What becomes of it is told as activity.
  }

  onActivity(activity: string): void {
    this.#activity = activity;
  }

  onState(state: WorkerState): void {
    this.#state = state;
    if (state.kind === "ring-broken") this.#activity = "waiting";
  }

  onStepReduced(): void {
    // Heartbeats carry no numbers of steps.
  }

  onStepApplied(): void {
    // Nor of their updates.
  }

  #describe(): string {
    const isBroken = this.#state.kind === "ring-broken" && this.#activity === "waiting";
    if (isBroken && this.#state.kind === "ring-broken") {
      return `ring broken: ${this.#state.reason}`;
    }
    return this.#activity === "waiting" && this.pausing() ? "paused" : this.#activity;
  }
}
