/**
 * The steps of a run, from the first to the last, and what happens between them. A step is sent, reduced by all ranks,
 * decided upon, recorded, and only then applied.
 */
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { BadInput } from "../../foundation/bad-input.ts";
import { reducedNames } from "../../foundation/parameters/table.ts";
import { learningRateAt } from "../../foundation/job/schedule.ts";
import {
  CommitStepSchema,
  ControlCommandSchema,
  RunStepSchema,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { StepReduced } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { cutText } from "../live/format.ts";
import { dealMicrobatches } from "../data/deal.ts";
import { eventOf } from "../nats/cloud-event.ts";
import { decideStep } from "../server/commit.ts";
import { Diverged } from "./diverged.ts";
import { earlyStop } from "./best-model.ts";
import { atBoundary, evaluateNow } from "./boundary.ts";
import type { LoopEnd } from "./boundary.ts";
import { learningRateOf } from "./learning-rate.ts";
import { shrunk } from "./loss-scale.ts";
import type { StepFacts } from "./progress.ts";
import type { RunContext } from "./run-context.ts";

/** The loss or the gradient of a step is no number. The step is not committed; the one before is the last good one. */
export class NotFinite extends Error {
  override readonly name = "NotFinite";
  readonly step: number;
  constructor(step: number, reason: string) {
    super(reason);
    this.step = step;
  }
}

/** The error that the user sees for a `NotFinite` step. @param checkpoint folder of the last good state, or null */
export function notFiniteInput(error: NotFinite, checkpoint: string | null): BadInput {
  return new BadInput({
    expected: `a finite loss and gradient at step ${error.step}`,
    found: error.message,
    remedy: `a smaller --learning-rate, or --warmup-steps${checkpoint === null ? "" : `; the state before it is in ${checkpoint}`}`,
  });
}

/** Trains from the step after the last committed one. Throws NotFinite, WorkerLost, BadInput. */
export async function trainSteps(run: RunContext, signal: AbortSignal): Promise<LoopEnd> {
  const { plan, progress, settings } = run;
  const early = await catchUp(run, signal);
  if (early !== null) return early;
  const firstStep = progress.step + 1;
  for (let step = firstStep; step <= plan.totalSteps; step++) {
    const end = await atBoundary(run, step, signal);
    if (end !== null) return end;
    if (plan.startsEpoch(step)) announceEpoch(run, step);
    await carryOut(run, step, signal);
    const due = plan.due(step, settings);
    if (due.epochEnd && plan.epochOf(step) === plan.epochOf(firstStep)) tellCut(run);
    if (due.log || step === plan.totalSteps) progress.log();
    if (isVerified(run, step)) void run.weights.begin(run);
    if (due.evaluate) await evaluateNow(run, { counts: true }, signal);
    if (due.save) await run.saving.begin(run, signal);
    const reason = due.evaluate ? earlyStop(progress.standing, settings) : null;
    if (reason !== null) return { kind: "stopped", reason };
  }
  return { kind: "completed", reason: `all ${plan.totalSteps} steps are done` };
}

/** After the first epoch of this start: whether texts were too long, while there is time to do something about it. */
function tellCut({ view, lengths, settings }: RunContext): void {
  const line = cutText(lengths.shares, settings.maxLength);
  if (line !== null) view.say(line);
}

/** Makes the evaluation that an interrupt or a loss left out right after the step that the run goes on from. */
async function catchUp(run: RunContext, signal: AbortSignal): Promise<LoopEnd | null> {
  const { plan, progress, settings } = run;
  const { step } = progress;
  const isOwed = step > 0 && plan.due(step, settings).evaluate && !progress.hasEvaluated(step);
  if (!isOwed) return null;
  await evaluateNow(run, { counts: true }, signal);
  const reason = earlyStop(progress.standing, settings);
  return reason === null ? null : { kind: "stopped", reason };
}

function isVerified({ launch }: RunContext, step: number): boolean {
  return launch.verifyEvery !== null && step % launch.verifyEvery === 0;
}

function announceEpoch(run: RunContext, step: number): void {
  const epoch = run.plan.epochOf(step) + 1;
  run.events.publish(eventOf({ case: "epochStarted", value: { epoch, step: BigInt(step) } }));
}

/** One step, sent to committed. */
async function carryOut(run: RunContext, step: number, signal: AbortSignal): Promise<void> {
  const { fleet, progress } = run;
  const microbatches = run.plan.microbatches(step);
  sendStep(run, step, microbatches.length);
  const reports = await fleet.collect((report) => {
    const isThis = report.case === "stepReduced" && Number(report.value.step) === step;
    return isThis ? report.value : undefined;
  }, signal);
  // Gradients of weights that not all share are none to go on by.
  await run.weights.settle(run, signal);
  const decision = decideStep(reports, {
    workers: fleet.members.map(({ workerId }) => workerId),
    tensors: reducedNames(run.table),
    mixedNorms: hasMixedNorms(run),
  });
  const samples = microbatches.reduce((sum, microbatch) => sum + microbatch.length, 0);
  if (decision.kind === "void" && decision.cause === "not-finite") {
    await skipStep(run, { step, samples, reason: decision.reason });
    return;
  }
  if (decision.kind === "void") throw new Diverged(step - 1, decision.reason);
  if (decision.kind === "pending") {
    throw new Error(
      `Cannot commit step ${step} as ranks ${decision.missingRanks.join(", ")} did not report`,
    );
  }
  const { loss, gradNorm, weight, tensors } = decision;
  const learningRate = rateOf(run, step);
  const facts = { step, loss, gradNorm, learningRate, samples };
  const { lossScale } = progress;
  await run.journal.append({
    kind: "step",
    ...facts,
    ...(lossScale === null ? {} : { lossScale: lossScale.scale }),
    weight,
    generation: Number(fleet.generation),
    attempt: 0,
    tensors: [...tensors],
  });
  sendCommit(run, { step, learningRate, gradNorm, isSkipped: false });
  progress.committed(facts);
  // The workers wait for the commit, which leaves the process when this turn is over.
  await turn();
  tell(run, facts, reports);
}

/**
 * Commits a step without an update: in half precision its gradient was too large, and the loss scale is halved for the next.
 * Throws NotFinite where no smaller scale could help.
 */
async function skipStep(
  run: RunContext,
  {
    step,
    samples,
    reason,
  }: { readonly step: number; readonly samples: number; readonly reason: string },
): Promise<void> {
  const { progress, fleet, journal, view, telemetry, events } = run;
  const { lossScale: used } = progress;
  const next = used === null ? null : shrunk(used);
  if (used === null || next === null) throw new NotFinite(step, reason);
  await journal.append({
    kind: "skipped",
    step,
    generation: Number(fleet.generation),
    attempt: 0,
    samples,
    lossScale: used.scale,
    reason,
  });
  sendCommit(run, { step, learningRate: 0, gradNorm: 0, isSkipped: true });
  progress.skipped(step, samples, next);
  view.say(`step ${step} is skipped: ${reason} at loss scale ${used.scale}, now ${next.scale}`);
  const { epoch } = progress;
  telemetry.stepSkipped({ step, epoch, lossScale: next.scale });
  const value = { step: BigInt(step), epoch, reason, lossScale: next.scale };
  events.publish(eventOf({ case: "stepSkipped", value }));
}

/** Whether workers on processors of other types may take other norms; the owners of an update's parts then go by one. */
function hasMixedNorms({ launch, settings }: RunContext): boolean {
  return launch.allowMixedHardware && settings.zeroStage === 1;
}

function sendCommit(
  run: RunContext,
  commit: {
    readonly step: number;
    readonly learningRate: number;
    readonly gradNorm: number;
    readonly isSkipped: boolean;
  },
): void {
  const { fleet, progress } = run;
  const value = create(CommitStepSchema, {
    generation: fleet.generation,
    step: BigInt(commit.step),
    learningRate: commit.learningRate,
    gradNorm: hasMixedNorms(run) ? commit.gradNorm : 0,
    skip: commit.isSkipped,
    skippedSteps: BigInt(progress.lossScale?.skippedSteps ?? 0),
  });
  fleet.broadcast({ case: "commitStep", value });
}

function sendStep(run: RunContext, step: number, microbatchCount: number): void {
  const { fleet, control } = run;
  const commands = control
    .sent()
    .map(({ id, verb, step: first, value }) =>
      create(ControlCommandSchema, { id, verb, step: BigInt(first), value: value ?? 0 }),
    );
  const dealing = dealMicrobatches(microbatchCount, fleet.worldSize);
  const dealtTo: number[] = [];
  for (const [rank, own] of dealing.entries()) {
    for (const microbatch of own) dealtTo[microbatch] = rank;
  }
  for (const [rank, member] of fleet.members.entries()) {
    const value = create(RunStepSchema, {
      generation: fleet.generation,
      step: BigInt(step),
      attempt: 0,
      microbatchCount,
      microbatches: [...(dealing[rank] ?? [])],
      dealtTo,
      commands,
      profile: run.profiler.wants(step),
      lossScale: run.progress.lossScale?.scale ?? 0,
    });
    fleet.send(member, { case: "runStep", value });
  }
}

function rateOf(run: RunContext, step: number): number {
  const { settings, plan, progress, control } = run;
  const scheduled = (at: number): number =>
    learningRateAt(settings, plan.totalSteps, at, progress.scores);
  return learningRateOf(step, scheduled, control.rateChanges);
}

/** Tells everybody who listens; the workers are busy with the update meanwhile. */
function tell(run: RunContext, facts: StepFacts, reports: ReadonlyMap<number, StepReduced>): void {
  const { speedometer, lengths, clock, plan, telemetry, view, fleet, settings, progress } = run;
  const stepMs = speedometer.step(clock.nowMs(), facts.samples);
  lengths.add(reports.values());
  const { epoch } = progress;
  const { step, samples, loss, learningRate, gradNorm } = facts;
  telemetry.stepCommitted({
    ...facts,
    epoch,
    stepMs,
    lossScale: progress.lossScale?.scale ?? null,
  });
  for (const [rank, report] of reports) {
    const workerId = fleet.members[rank]?.workerId;
    if (workerId === undefined) continue;
    telemetry.workerReported(workerId, report);
    if (report.timings !== undefined) run.timings.set(workerId, report.timings);
  }
  view.stepped({
    step,
    totalSteps: plan.totalSteps,
    epoch,
    epochs: settings.maxSteps > 0 ? plan.totalSteps / plan.stepsPerEpoch : settings.numTrainEpochs,
    loss,
    learningRate,
    gradNorm,
    samplesPerSecond: speedometer.samplesPerSecond,
    etaMs: speedometer.timeOf(plan.totalSteps - step),
    lengths: lengths.shares,
  });
  run.events.publish(
    eventOf({
      case: "stepCommitted",
      value: {
        step: BigInt(step),
        epoch,
        loss,
        learningRate,
        gradNorm,
        samples,
        stepMs: stepMs ?? 0,
      },
    }),
  );
}
