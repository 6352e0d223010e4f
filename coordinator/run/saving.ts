/**
 * Checkpoints that are made while steps go on: at the boundary after a step the workers are only told. They copy and hash the state
 * beside the next step, which is not committed before all hashes are the same. The state's way to the coordinator and to the disk is
 * waited for by what needs it: the next checkpoint, a ring of other members, the run's end. One at a time, and none counts
 * before it is whole.
 */
import { relative } from "node:path";
import { eventOf } from "../nats/cloud-event.ts";
import { freeState, type TrainingState } from "../server/state-stream.ts";
import type { CheckpointDraft } from "./checkpoints.ts";
import { giversOf } from "./givers.ts";
import type { RunContext } from "./run-context.ts";

/** The checkpoints of one run that are under way: none or one. */
export class Saving {
  readonly #over = new AbortController();
  #making: { readonly step: number; readonly done: Promise<void> } | null = null;
  #failure: { readonly error: unknown } | null = null;

  /**
   * Begins the checkpoint of the last committed step, unless it is there or under way, once the one before is whole. What the workers are sent
   * afterwards changes nothing in it. Throws what waiting for the one before does.
   */
  async begin(run: RunContext, signal: AbortSignal): Promise<void> {
    const { checkpoints, fleet, progress, view } = run;
    const { step } = progress;
    if (this.#making?.step === step) return;
    await this.settle(run, signal);
    if (checkpoints.has(step)) return;
    view.doing(`writing the checkpoint of step ${step}`);
    const asked = { givers: giversOf(run), step, withOptimizer: true };
    const until = AbortSignal.any([signal, this.#over.signal]);
    // First the copy, of which hashes are made too.
    const state = run.states.ask(fleet, asked, until);
    const coming = { state, compared: run.weights.begin(run) };
    const done = this.#make(run, coming, checkpoints.draft(), until).finally(() => {
      this.#making = null;
    });
    this.#making = { step, done };
  }

  /** Waits until none is under way. Throws Diverged, WorkerLost, the signal's reason, or what writing it failed of. */
  async settle(run: RunContext, signal: AbortSignal): Promise<void> {
    await run.weights.settle(run, signal);
    if (this.#making !== null) {
      run.view.doing(`waiting for the checkpoint of step ${this.#making.step}`);
      await run.fleet.while(this.#making.done, signal);
    }
    this.throwIfFailed();
  }

  /** Throws what the last one failed of, once: the disk that did not take it will not take the next one. */
  throwIfFailed(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure.error;
  }

  /**
   * After a failure of the run: the one under way still becomes whole if those that give it are left. Further losses on the way
   * are let be.
   * @param signal ends the wait, and abandons it
   */
  async settleAfterFailure(run: RunContext, signal: AbortSignal): Promise<void> {
    while (this.#making !== null && !signal.aborted) {
      run.fleet.goOn();
      await run.fleet.while(this.#making.done, signal).catch(() => undefined);
    }
    if (this.#making !== null) await this.abandon(run);
    if (this.#failure !== null) run.view.say(`no checkpoint: ${wordsOf(this.#failure.error)}`);
    this.#failure = null;
  }

  /** Abandons the one under way, and all that come; nothing is left of it then. */
  async abandon({ weights }: Pick<RunContext, "weights">): Promise<void> {
    this.#over.abort(new Error("the run is left"));
    weights.forget();
    await this.#making?.done;
  }

  /** Resolves in any case. A state that does not come, or is not that of all, is a worker's failure, of which others tell. */
  async #make(
    run: RunContext,
    coming: { readonly state: Promise<TrainingState>; readonly compared: Promise<void> },
    draft: CheckpointDraft,
    signal: AbortSignal,
  ): Promise<void> {
    const abandoned = (error: unknown): null => {
      run.view.say(`the checkpoint of step ${draft.step} is abandoned: ${wordsOf(error)}`);
      return null;
    };
    const state = await coming.state.catch(abandoned);
    if (state === null) return;
    try {
      // A state that not all workers share is none to go on from.
      await coming.compared;
    } catch (error) {
      freeState(state);
      abandoned(error);
      return;
    }
    try {
      const folder = await run.checkpoints.write(state, draft, signal);
      await announceCheckpoint(run, draft.step, folder);
      run.view.say(`checkpoint: ${folder}`);
    } catch (error) {
      if (signal.aborted) abandoned(error);
      else this.#failure = { error };
    }
  }
}

/** Writes the checkpoint of the last committed step, unless it is there, and waits until it is whole. */
export async function checkpointNow(run: RunContext, signal: AbortSignal): Promise<void> {
  await run.saving.begin(run, signal);
  await run.saving.settle(run, signal);
}

/** Tells of a checkpoint that is on disk. */
export async function announceCheckpoint(
  run: RunContext,
  step: number,
  folder: string,
): Promise<void> {
  const name = relative(run.settings.outputDir, folder);
  await run.journal.append({ kind: "checkpoint", step, folder: name });
  run.telemetry.checkpointWritten(run.clock.now().getTime() / 1000);
  run.events.publish(
    eventOf({ case: "checkpointWritten", value: { step: BigInt(step), folder: name } }),
  );
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
