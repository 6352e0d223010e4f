/**
 * From a plan to a ring that is ready for its first step: services, server, workers; each joins, compiles, loads the
 * state and takes its place.
 */
import { join } from "node:path";
import { familyOf } from "../../foundation/families/family.ts";
import { profiledSteps } from "../../foundation/job/profile-steps.ts";
import type { Launcher } from "../launch/launcher.ts";
import { LocalLauncher } from "../launch/local-launcher.ts";
import { threadsOf } from "../launch/thread-share.ts";
import { WaitingLauncher } from "../launch/waiting-launcher.ts";
import type { WorkerLine, WorkerTimings } from "../live/run-view.ts";
import { eventOf } from "../nats/cloud-event.ts";
import { startCoordinatorServer } from "../server/coordinator-server.ts";
import { Profiler } from "../profile/profiler.ts";
import { Roster } from "../server/roster.ts";
import type { TrainingState } from "../server/state-stream.ts";
import { checkWorkers, needSelfTest } from "./check-workers.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { Closers } from "./closers.ts";
import { Control } from "./control.ts";
import { Evaluator } from "./evaluation.ts";
import { Fleet } from "./fleet.ts";
import type { FleetObserver } from "./fleet-observer.ts";
import { gather } from "./gather.ts";
import { Journal } from "./journal.ts";
import { LengthTally } from "./length-tally.ts";
import type { RunPlan } from "./plan-run.ts";
import { trainingPrepare } from "./prepare-message.ts";
import { Progress } from "./progress.ts";
import { recordRing, recordStart } from "./record-start.ts";
import type { RunContext } from "./run-context.ts";
import { writeRunFile } from "./run-file.ts";
import type { RunJobOptions } from "./run-job.ts";
import { trainingSource } from "./run-source.ts";
import { Speedometer } from "./speedometer.ts";
import { startServices } from "./start-services.ts";
import type { Services } from "./start-services.ts";
import { StateRequests } from "./state-requests.ts";
import { WeightCheck } from "./weight-check.ts";

/** A run that workers can join. */
export interface StartedRun {
  readonly context: RunContext;
  readonly launcher: Launcher;
  /** Starts the workers and brings them into the ring. */
  takePlaces(): Promise<void>;
}

const stopGraceMs = 2_000;

/** Starts a run; whatever it opens is closed by `closers`. Throws BadInput, or what failed. */
export async function startRun(
  planned: RunPlan,
  options: RunJobOptions,
  closers: Closers,
  signal: AbortSignal,
): Promise<StartedRun> {
  const { run, settings, launch } = planned;
  const { view, clock, env } = options;
  const { outputDir } = settings;
  const say = (line: string): void => view.say(line);
  const journal = await Journal.open(join(outputDir, "journal.jsonl"));
  closers.add(() => journal.close());
  view.doing("starting NATS and the metrics page");
  const services = await startServices(
    {
      run,
      outputDir,
      launch,
      natsServerFile: options.native.natsServerFile,
      env,
      clock,
      say,
      signal,
    },
    closers,
  );
  const launcher = launcherOf(planned, options);
  const roster = new Roster({
    run,
    joinToken: planned.joinToken,
    seats: launch.workers,
    natsUrl: services.workerNatsUrl,
    nowMs: clock.nowMs,
    idOf: (candidate) => launcher.idOf(candidate.processId),
  });
  const context = assemble(planned, options, { services, journal, roster });
  let startState: TrainingState | null = planned.startState;
  const server = await startCoordinatorServer({
    run,
    listen: launch.listen,
    tls: options.tls,
    roster,
    source: trainingSource({ ...context, train: planned.train, startState: () => startState }),
  });
  closers.add(() => server.close());
  closers.add(() => launcher.stop(options.interrupts.leave.aborted ? 0 : stopGraceMs));
  await writeRunFile(outputDir, {
    run,
    processId: options.processId,
    startedAt: clock.now().toISOString(),
    coordinatorAddress: server.address,
    metricsUrl: `http://${services.metrics.address}/metrics`,
    workers: launch.workers,
  });
  services.bus.onCommand((command) => context.control.decide(command));
  services.telemetry.planned(planned.plan.totalSteps);
  services.telemetry.followWorkers(roster, clock);
  services.telemetry.readiness = { ready: true, reason: "workers can join" };
  await recordStart(planned, context);
  return {
    context,
    launcher,
    takePlaces: async () => {
      await takePlaces(context, planned, { launcher, address: server.address, options }, signal);
      startState = null;
    },
  };
}

function launcherOf(planned: RunPlan, options: RunJobOptions): Launcher {
  const { launch, settings } = planned;
  if (!launch.spawnWorkers) return new WaitingLauncher((line) => options.view.say(line));
  const { env, platform, native } = options;
  return new LocalLauncher({
    env,
    platform,
    logFolder: join(settings.outputDir, "logs"),
    bindingFile: native.bindingFile,
    tensorflowVersion: native.tensorflowVersion,
    device: settings.device,
  });
}

function assemble(
  planned: RunPlan,
  options: RunJobOptions,
  opened: { readonly services: Services; readonly journal: Journal; readonly roster: Roster },
): RunContext {
  const { run, settings, launch, model, table, plan, resumed } = planned;
  const { clock, view, interrupts } = options;
  const { services, journal, roster } = opened;
  const { events, telemetry } = services;
  const facts = { run, settings, plan, trainSize: planned.train.size, tableVersion: table.version };
  const progress = new Progress(facts, resumed, clock.nowMs());
  const range = profiledSteps(launch, progress.step + 1, plan.totalSteps);
  const profiler = new Profiler(range, settings.outputDir, (line) => view.say(line));
  const control = new Control({
    journal,
    nextStep: progress.step + 1,
    lastStep: plan.totalSteps,
    canEvaluate: planned.validation !== null,
    rateChanges: resumed?.rateChanges ?? [],
    replay: planned.replay,
    onAccepted: ({ id, verb, step, value }) => {
      view.say(`${verb}${value === null ? "" : ` ${value}`} accepted for step ${step}`);
      const command = { id, verb, step: BigInt(step), value: value ?? 0 };
      events.publish(eventOf({ case: "commandAccepted", value: command }));
    },
  });
  const checkpoints = new Checkpoints(
    {
      outputDir: settings.outputDir,
      model,
      table,
      job: planned.job,
      progress,
      rateChanges: () => control.rateChanges,
      limit: settings.saveTotalLimit,
      keepsBest: settings.loadBestModelAtEnd,
      nowMs: clock.nowMs,
    },
    resumed === null || settings.resumeFromCheckpoint === null
      ? null
      : { folder: settings.resumeFromCheckpoint, step: resumed.step },
  );
  return {
    run,
    settings,
    launch,
    model,
    table,
    plan,
    validation: planned.validation,
    fleet: new Fleet(roster, observerOf(services, progress, profiler)),
    control,
    journal,
    events,
    telemetry,
    view,
    evaluator: evaluatorOf(planned),
    progress,
    checkpoints,
    states: new StateRequests(table),
    weights: new WeightCheck(),
    profiler,
    speedometer: new Speedometer(),
    lengths: new LengthTally(),
    timings: new Map<string, WorkerTimings>(),
    clock,
    interrupts,
  };
}

function evaluatorOf({ model, settings }: RunPlan): Evaluator {
  return new Evaluator({
    problemType: model.problemType,
    labelCount: model.labels.length,
    microbatchSize: settings.perDeviceEvalBatchSize,
    groupByLength: settings.groupByLength,
  });
}

function observerOf(
  { telemetry, events }: Services,
  progress: Progress,
  profiler: Profiler,
): FleetObserver {
  return {
    onProfiled: ({ workerId }, rank, report) => profiler.take(rank, workerId, report),
    onJoined: ({ workerId, incarnation, ringAddress }) => {
      telemetry.workerJoined(workerId, Number(incarnation));
      events.publish(
        eventOf({ case: "workerJoined", value: { workerId, incarnation, ringAddress } }),
      );
    },
    onLeft: ({ workerId }, reason) => {
      telemetry.workerLeft(workerId);
      const step = BigInt(progress.step);
      events.publish(eventOf({ case: "workerLeft", value: { workerId, reason, step } }));
    },
  };
}

/** Starts the workers and brings them into the ring. */
async function takePlaces(
  context: RunContext,
  planned: RunPlan,
  means: {
    readonly launcher: Launcher;
    readonly address: string;
    readonly options: RunJobOptions;
  },
  signal: AbortSignal,
): Promise<void> {
  const { fleet, view, launch, settings, model, table } = context;
  const { launcher, address: coordinatorAddress, options } = means;
  const { workers } = launch;
  view.doing(launch.spawnWorkers ? `starting ${workers} workers` : "waiting for workers");
  const { run, joinToken } = planned;
  const tls = options.tls?.files ?? null;
  await launcher.launch({ workers, run, coordinatorAddress, joinToken, tls });
  await gather(fleet, launcher, workers, signal);
  view.doing("preparing: each worker records and compiles the step");
  const threads = threadsOf({
    wanted: launch.threadsPerWorker,
    cores: options.cores,
    workersHere: launch.spawnWorkers ? workers : 0,
    threadsMatter: familyOf(model.configJson).threadsMatter,
  });
  const prepare = trainingPrepare(settings, model, table, threads);
  prepare.selfTest = needSelfTest(fleet.present);
  checkWorkers(context, await fleet.prepare(prepare, signal));
  view.doing("forming the ring");
  const committedStep = context.progress.step;
  const state = { committedStep, loadState: true, reason: `${workers} workers have joined` };
  const ring = await fleet.formRing(fleet.present, state, signal);
  await recordRing(context, ring, threads);
  const members = ring.members.map((member) => member.workerId);
  const generation = Number(ring.generation);
  context.telemetry.ringFormed({ generation, worldSize: members.length });
  context.events.publish(
    eventOf({ case: "ringFormed", value: { generation: ring.generation, members } }),
  );
  view.watch(() => workerLines(context));
}

function workerLines({ fleet, timings }: RunContext): readonly WorkerLine[] {
  return fleet.members.map(({ workerId }, rank) => ({
    rank,
    workerId,
    state: fleet.stateOf(workerId),
    timings: timings.get(workerId) ?? null,
  }));
}
