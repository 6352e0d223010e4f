/**
 * Commands between the moment they are accepted and the step boundary at which they act. A command concerns the first
 * step that has not been sent to the workers; what changes the result is in the journal before it is answered.
 */
import type { Command, CommandDecision } from "../nats/command.ts";
import type { RateChange } from "./learning-rate.ts";
import type { Journal, JournalRecord } from "./journal.ts";

/** A command that has been accepted. */
export interface AcceptedCommand extends Command {
  /** First step that it concerns. */
  readonly step: number;
}

/** What the run does at a boundary, in the order of the commands. */
export type BoundaryAction =
  | { readonly kind: "checkpoint" }
  | { readonly kind: "evaluate" }
  | { readonly kind: "stop" };

const changesResult = new Set(["set-learning-rate", "stop"]);

/** Takes commands in and hands them out at step boundaries. */
export class Control {
  readonly #journal: Journal;
  readonly #onAccepted: (command: AcceptedCommand) => void;
  readonly #lastStep: number;
  readonly #canEvaluate: boolean;
  readonly #rateChanges: RateChange[];
  /** `stop` commands that a resumed run replays, by step. */
  readonly #replayedStops: Set<number>;
  #waiting: AcceptedCommand[] = [];
  /** All that change the result, of this run and of the one that it resumes. */
  readonly #resultChanges: AcceptedCommand[];
  #nextStep: number;
  #paused = false;
  #stopping = false;
  #over = false;
  #wake: () => void = () => undefined;

  /**
   * @param nextStep first step of this run
   * @param canEvaluate whether there is anything to evaluate on
   * @param replay commands of an earlier run from the same checkpoint, in order of step
   */
  constructor(options: {
    readonly journal: Journal;
    readonly nextStep: number;
    readonly lastStep: number;
    readonly canEvaluate: boolean;
    readonly rateChanges: readonly RateChange[];
    readonly replay: readonly AcceptedCommand[];
    readonly onAccepted: (command: AcceptedCommand) => void;
  }) {
    this.#journal = options.journal;
    this.#nextStep = options.nextStep;
    this.#lastStep = options.lastStep;
    this.#canEvaluate = options.canEvaluate;
    this.#onAccepted = options.onAccepted;
    const replayedRates = options.replay.flatMap(({ verb, step, value }) =>
      verb === "set-learning-rate" && value !== null ? [{ step, value }] : [],
    );
    this.#rateChanges = [...options.rateChanges, ...replayedRates];
    this.#resultChanges = [...options.replay];
    this.#replayedStops = new Set(
      options.replay.filter(({ verb }) => verb === "stop").map(({ step }) => step),
    );
  }

  /** Changes of the learning rate so far, ascending by step. */
  get rateChanges(): readonly RateChange[] {
    return this.#rateChanges;
  }

  /** Whether the run waits for `resume`. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Decides over a command; resolves once what must be in the journal is there. */
  async decide(command: Command): Promise<CommandDecision> {
    const refusal = this.#refusalOf(command);
    if (refusal !== null) return { accepted: false, reason: refusal };
    const accepted = { ...command, step: this.#nextStep };
    this.#waiting.push(accepted);
    this.#stopping ||= command.verb === "stop";
    // In force from the step that the journal names, whatever else the boundary before it has to do.
    if (command.verb === "set-learning-rate") {
      this.#rateChanges.push({ step: accepted.step, value: command.value ?? 0 });
      // After going back, a step may be named that lies before those of earlier commands.
      this.#rateChanges.sort((one, other) => one.step - other.step);
    }
    if (changesResult.has(command.verb)) {
      this.#resultChanges.push(accepted);
      await this.#journal.append(recordOf(accepted));
    }
    this.#onAccepted(accepted);
    this.#wake();
    return { accepted: true, step: accepted.step };
  }

  /**
   * Takes the commands that wait at the boundary before `step`: those that change state do so, the others are given back
   * as actions. When there are none and the run is not paused, the step begins: whatever comes later concerns the next.
   */
  takeBefore(step: number): readonly BoundaryAction[] {
    const actions: BoundaryAction[] = [];
    for (const command of this.#waiting.splice(0)) {
      switch (command.verb) {
        case "pause":
          this.#paused = true;
          break;
        case "resume":
          this.#paused = false;
          break;
        case "set-learning-rate":
          break;
        case "checkpoint":
        case "evaluate":
        case "stop":
          actions.push({ kind: command.verb });
      }
      this.#taken.push(command);
    }
    if (this.#replayedStops.delete(step)) actions.push({ kind: "stop" });
    if (actions.length === 0 && !this.#paused) this.#nextStep = step + 1;
    return actions;
  }

  /**
   * The run has gone back to a step: what changes the result acts once more at the steps that the journal names. Gives those
   * commands, which the journal has to hold anew.
   */
  goBack(step: number): readonly AcceptedCommand[] {
    this.#nextStep = step + 1;
    const ahead = this.#resultChanges.filter((command) => command.step > step);
    for (const command of ahead) if (command.verb === "stop") this.#replayedStops.add(command.step);
    this.#waiting = this.#waiting.filter(({ verb }) => verb !== "stop");
    return ahead;
  }

  /** A step is sent: gives the commands that go along with it. */
  sent(): readonly AcceptedCommand[] {
    return this.#taken.splice(0);
  }

  /** Resolves when another command waits. */
  async waiting(signal: AbortSignal): Promise<void> {
    while (this.#waiting.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => reject(signal.reason as Error);
        if (signal.aborted) abort();
        signal.addEventListener("abort", abort, { once: true });
        this.#wake = () => {
          signal.removeEventListener("abort", abort);
          resolve();
        };
      });
    }
  }

  /** No step comes any more: commands are refused from now on. */
  end(): void {
    this.#over = true;
  }

  readonly #taken: AcceptedCommand[] = [];

  #refusalOf({ verb }: Command): string | null {
    if (this.#over) return "the run is over";
    if (this.#stopping) return "the run is being stopped";
    if (verb === "evaluate" && !this.#canEvaluate) return "there is no validation data";
    if (verb === "evaluate" || verb === "checkpoint" || verb === "stop") return null;
    return this.#nextStep > this.#lastStep ? "the last step is under way" : null;
  }
}

function recordOf({ id, verb, step, value }: AcceptedCommand): JournalRecord {
  return { kind: "command", id, verb, step, value };
}

/**
 * What a resumed run replays: commands that the journal has for steps after the checkpoint. A `stop` right at the
 * checkpoint is what made it, and is not replayed. Where the journal itself went back to an earlier step, what was
 * accepted beyond it no longer counts.
 */
export function commandsToReplay(
  records: readonly JournalRecord[],
  checkpointStep: number,
): readonly AcceptedCommand[] {
  let commands: AcceptedCommand[] = [];
  for (const record of records) {
    if (record.kind === "run") commands = commands.filter(({ step }) => step <= record.fromStep);
    if (record.kind !== "command") continue;
    const { id, verb, step, value } = record;
    if (verb === "set-learning-rate" || verb === "stop") commands.push({ id, verb, step, value });
  }
  return commands.filter(({ verb, step }) => step > checkpointStep + (verb === "stop" ? 1 : 0));
}
