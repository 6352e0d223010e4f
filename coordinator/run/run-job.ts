/**
 * The life of a training run, readable aloud: plan it, open the output, start the services and the workers, gather them,
 * have them prepare, form the ring, train, conclude. Whatever happens on the way, everything that was started is ended,
 * and the state of the last committed step is kept.
 */
import type { TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import type { JobSettings, LaunchSettings } from "../../foundation/job/settings.ts";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import type { NativeParts } from "../../foundation/native/native-parts.ts";
import { signalWithin } from "../../foundation/abortable.ts";
import { BadInput } from "../../foundation/bad-input.ts";
import type { Dataset } from "../data/dataset.ts";
import type { EvaluationView, RunView } from "../live/run-view.ts";
import { Closers } from "./closers.ts";
import { conclude, recordEnd } from "./conclude.ts";
import { Diverged, divergenceReport } from "./diverged.ts";
import { WorkerLost } from "./worker-lost.ts";
import { goBack, goesOnAfter } from "./go-back.ts";
import { lossReport } from "./lost-worker.ts";
import { openOutput, planRun } from "./plan-run.ts";
import { rescue } from "./rescue.ts";
import type { Clock, Interrupts, RunContext } from "./run-context.ts";
import type { RunOutcome } from "./run-outcome.ts";
import { startRun } from "./start-run.ts";
import type { StartedRun } from "./start-run.ts";
import { NotFinite, notFiniteInput, trainSteps } from "./training-loop.ts";

/** What a run is given. */
export interface RunJobOptions {
  readonly settings: JobSettings;
  readonly launch: LaunchSettings;
  /** What secures all gRPC connections; null for plain text. */
  readonly tls: TlsIdentity | null;
  readonly native: Pick<NativeParts, "bindingFile" | "natsServerFile" | "tensorflowVersion">;
  readonly model: LoadedModel;
  readonly data: { readonly train: Dataset | null; readonly validation: Dataset | null };
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  /** Processor cores that may be used. */
  readonly cores: number;
  readonly processId: number;
  /** Shows the run; closed when it ends. */
  readonly view: RunView;
  readonly clock: Clock;
  readonly interrupts: Interrupts;
}

/** Time that saving what is left after a failure may take in all, in milliseconds. */
const rescueMs = 120_000;

/** How long workers have to leave by themselves, in milliseconds. */
const leaveMs = 5_000;

/**
 * Trains. Resolves with how the run ended; a worker's loss is told through the view. Throws BadInput, and what is a
 * failure of ours, once everything is closed.
 */
export async function runJob(options: RunJobOptions): Promise<RunOutcome> {
  const { view, interrupts } = options;
  const closers = new Closers();
  try {
    const planned = await planRun(options);
    await openOutput(planned);
    const setup = AbortSignal.any([interrupts.finish, interrupts.leave]);
    return await carryThrough(await startRun(planned, options, closers, setup));
  } catch (error) {
    if (!interrupts.finish.aborted || error instanceof BadInput) throw error;
    return interruptedEarly(options.settings.outputDir);
  } finally {
    await closers.close((error) => view.say(`closing: ${wordsOf(error)}`));
    view.close();
  }
}

/** From the workers' start to the run's end, through failures. */
async function carryThrough(started: StartedRun): Promise<RunOutcome> {
  const { context: run } = started;
  const firstStep = run.progress.step;
  const { leave, finish } = run.interrupts;
  const tellFinishing = (): void =>
    run.view.say("finishing the step under way; Ctrl-C once more leaves now");
  finish.addEventListener("abort", tellFinishing, { once: true });
  try {
    await started.takePlaces();
    const { end, hasModel } = await trainToEnd(started);
    await recordEnd(run, end.kind, end.reason);
    await dismiss(run, end.reason);
    return await outcomeOf(run, end.kind, end.reason, hasModel);
  } catch (error) {
    const isEarly = finish.aborted && run.progress.step === firstStep;
    if (leave.aborted || isEarly) {
      await run.saving.abandon(run);
      run.fleet.finish("interrupted");
      await recordEnd(run, "interrupted", "interrupted");
      return await outcomeOf(run, "interrupted", "interrupted", false);
    }
    return await fail(started, firstStep, error);
  }
}

/** All steps and what follows them, over again from the last checkpoint where that can be done after a loss. */
async function trainToEnd(started: StartedRun) {
  const { context: run } = started;
  const { leave } = run.interrupts;
  let loss: WorkerLost | null = null;
  for (;;) {
    try {
      if (loss !== null) await goBack(started, loss, leave);
      const end = await trainSteps(run, leave);
      return { end, hasModel: await conclude(run, end, leave) };
    } catch (error) {
      if (!goesOnAfter(run, error)) throw error;
      loss = error;
    }
  }
}

/** Saves the state, tells what is known. Rethrows what is not a worker's loss. */
async function fail(started: StartedRun, firstStep: number, error: unknown): Promise<RunOutcome> {
  const { context: run, launcher } = started;
  const at = run.clock.now();
  const diverged = error instanceof Diverged;
  const patience = signalWithin(run.interrupts.leave, rescueMs);
  await run.saving.settleAfterFailure(run, patience);
  const checkpoint = diverged ? run.checkpoints.last : await rescue(run, firstStep, patience);
  await recordEnd(run, "failed", wordsOf(error));
  run.fleet.finish("the run has failed");
  if (error instanceof NotFinite) throw notFiniteInput(error, checkpoint);
  if (diverged) {
    run.view.close();
    for (const line of divergenceReport(error, checkpoint)) run.view.complain(line);
    return await outcomeOf(run, "failed", error.message, false);
  }
  if (!(error instanceof WorkerLost)) throw error;
  const ended = await launcher.endOf(error.workerId);
  const { workerId, rank, manner, reason, detail } = error;
  const training = { step: run.progress.step, checkpoint };
  run.view.close();
  const loss = { workerId, rank, manner, reason, detail, at, ...ended, training };
  for (const line of lossReport(loss)) run.view.complain(line);
  return await outcomeOf(run, "failed", error.message, false);
}

/** Lets the workers leave; those that are too slow are ended by the launcher. */
async function dismiss(run: RunContext, reason: string): Promise<void> {
  run.fleet.finish(reason);
  const patience = signalWithin(run.interrupts.leave, leaveMs);
  await run.fleet.dissolve(patience).catch(() => undefined);
}

async function outcomeOf(
  run: RunContext,
  kind: RunOutcome["kind"],
  reason: string,
  hasModel: boolean,
): Promise<RunOutcome> {
  const { settings, checkpoints, progress } = run;
  const exitCode = kind === "failed" ? 1 : kind === "interrupted" ? 130 : 0;
  return {
    kind,
    exitCode,
    reason,
    outputDir: settings.outputDir,
    modelFolder: hasModel ? settings.outputDir : null,
    checkpoint: checkpoints.last,
    step: progress.step,
    evaluations: progress.logHistory.flatMap(evaluationOf),
    profile: await run.profiler.write(),
    lengths: { ...run.lengths.shares, maxLength: settings.maxLength },
  };
}

/** The evaluation that a line of the history is about, if it is about one. */
function evaluationOf(entry: Readonly<Record<string, number>>): EvaluationView[] {
  const isMetric = ([name]: [string, number]): boolean =>
    name.startsWith("eval_") && !/_(?:runtime|samples_per_second|steps_per_second)$/u.test(name);
  const metrics = Object.entries(entry)
    .filter(isMetric)
    .map(([name, value]): [string, number] => [name.slice("eval_".length), value]);
  if (metrics.length === 0) return [];
  const { step = 0, epoch = 0 } = entry;
  return [{ step, epoch, split: "validation", metrics: Object.fromEntries(metrics) }];
}

function interruptedEarly(outputDir: string): RunOutcome {
  return {
    kind: "interrupted",
    exitCode: 130,
    reason: "interrupted before the first step",
    outputDir,
    modelFolder: null,
    checkpoint: null,
    step: 0,
    evaluations: [],
    profile: null,
    lengths: null,
  };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
