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
import type { WorkerTimings } from "../live/run-view.ts";
import { eventOf } from "../nats/cloud-event.ts";
import { startCoordinatorServer } from "../server/coordinator-server.ts";
import { Profiler } from "../profile/profiler.ts";
import type { Member } from "../server/membership.ts";
import { Roster } from "../server/roster.ts";
import { checkWorkers, needSelfTest } from "./check-workers.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { Closers } from "./closers.ts";
import { Control } from "./control.ts";
import { enterRing } from "./enter-ring.ts";
import { Evaluator } from "./evaluation.ts";
import { Fleet } from "./fleet.ts";
import { observerOf } from "./fleet-observer.ts";
import { gather } from "./gather.ts";
import { Journal } from "./journal.ts";
import { LengthTally } from "./length-tally.ts";
import { freeStart, type RunPlan } from "./plan-run.ts";
import { trainingPrepare } from "./prepare-message.ts";
import { Progress } from "./progress.ts";
import { recordStart } from "./record-start.ts";
import type { RunContext } from "./run-context.ts";
import { writeRunFile } from "./run-file.ts";
import type { RunJobOptions } from "./run-job.ts";
import { trainingSource } from "./run-source.ts";
import { Saving } from "./saving.ts";
import { Speedometer } from "./speedometer.ts";
import { startServices } from "./start-services.ts";
import type { Services } from "./start-services.ts";
import { readHostId } from "../../foundation/host/host-id.ts";
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
  const { run, launch } = planned;
  const { outputDir } = planned.settings;
  const { view, clock, env } = options;
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
      say: (line) => view.say(line),
      signal,
    },
    closers,
  );
  const launcher = launcherOf(planned, options);
  const roster = new Roster({
    run,
    joinToken: planned.joinToken,
    seats: seatsOf(launch),
    reserved: launch.spawnWorkers ? launch.workers : 0,
    natsUrl: services.workerNatsUrl,
    nowMs: clock.nowMs,
    idOf: (candidate) => launcher.idOf(candidate.processId),
  });
  const context = assemble(planned, options, { services, journal, roster });
  const server = await startCoordinatorServer({
    run,
    listen: launch.listen,
    tls: options.tls,
    roster,
    source: trainingSource({ ...context, train: planned.train }),
  });
  closers.add(() => server.close());
  closers.add(() => launcher.stop(options.interrupts.leave.aborted ? 0 : stopGraceMs));
  const at = { services, address: server.address, processId: options.processId };
  await announce(planned, context, at);
  services.telemetry.followWorkers(roster, clock);
  const takePlaces = async (): Promise<void> => {
    const means = { launcher, address: server.address, options };
    const members = await prepareWorkers(context, planned, means, signal);
    const from = { state: planned.startState, reason: `${members.length} workers have joined` };
    await enterRing(context, members, from, signal);
    // Unless a share of the optimiser's state may be lost with a worker, and the run go back to the start.
    if (planned.settings.zeroStage === 0) freeStart(planned);
  };
  return { context, launcher, takePlaces };
}

/** Says where the run is to be found, and that workers can join. */
async function announce(
  planned: RunPlan,
  context: RunContext,
  at: { readonly services: Services; readonly address: string; readonly processId: number },
): Promise<void> {
  const { run, settings, launch, clock } = context;
  const { services, address, processId } = at;
  await writeRunFile(settings.outputDir, {
    run,
    processId,
    startedAt: clock.now().toISOString(),
    coordinatorAddress: address,
    metricsUrl: `http://${services.metrics.address}/metrics`,
    workers: launch.workers,
  });
  services.bus.onCommand((command) => context.control.decide(command));
  services.telemetry.planned(planned.plan.totalSteps);
  services.telemetry.readiness = { ready: true, reason: "workers can join" };
  await recordStart(planned, context);
}

/** Workers that may take part, those that join later included. */
function seatsOf({ workers, maxWorkers }: RunPlan["launch"]): number {
  return maxWorkers ?? workers;
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
  const control = controlOf(planned, { journal, view, events, progress });
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
  const states = new StateRequests(table, readHostId());
  const weights = new WeightCheck();
  return {
    run,
    settings,
    launch,
    model,
    table,
    plan,
    validation: planned.validation,
    fleet: new Fleet(roster, observerOf(services, { progress, profiler, states, weights })),
    control,
    journal,
    events,
    telemetry,
    view,
    evaluator: evaluatorOf(planned),
    progress,
    checkpoints,
    states,
    saving: new Saving(),
    weights,
    profiler,
    preparedOf: new Map(),
    offer: { state: null },
    speedometer: new Speedometer(),
    lengths: new LengthTally(),
    timings: new Map<string, WorkerTimings>(),
    clock,
    interrupts,
  };
}

function controlOf(
  { plan, resumed, replay, validation }: RunPlan,
  run: Pick<RunContext, "journal" | "view" | "events" | "progress">,
): Control {
  const { journal, view, events, progress } = run;
  return new Control({
    journal,
    nextStep: progress.step + 1,
    lastStep: plan.totalSteps,
    canEvaluate: validation !== null,
    rateChanges: resumed?.rateChanges ?? [],
    replay,
    onAccepted: ({ id, verb, step, value }) => {
      view.say(`${verb}${value === null ? "" : ` ${value}`} accepted for step ${step}`);
      const command = { id, verb, step: BigInt(step), value: value ?? 0 };
      events.publish(eventOf({ case: "commandAccepted", value: command }));
    },
  });
}

function evaluatorOf({ model, settings }: RunPlan): Evaluator {
  return new Evaluator({
    problemType: model.problemType,
    labelCount: model.labels.length,
    microbatchSize: settings.perDeviceEvalBatchSize,
    groupByLength: settings.groupByLength,
  });
}

/** Starts the workers and has them prepare; gives those that have. */
async function prepareWorkers(
  context: RunContext,
  planned: RunPlan,
  means: {
    readonly launcher: Launcher;
    readonly address: string;
    readonly options: RunJobOptions;
  },
  signal: AbortSignal,
): Promise<readonly Member[]> {
  const { fleet, view, launch, settings, model, table } = context;
  const { launcher, address: coordinatorAddress, options } = means;
  const { workers } = launch;
  view.doing(launch.spawnWorkers ? `starting ${workers} workers` : "waiting for workers");
  const { run, joinToken } = planned;
  const tls = options.tls?.files ?? null;
  const threads = threadsOf({
    wanted: launch.threadsPerWorker,
    cores: options.cores,
    workersHere: launch.spawnWorkers ? workers : 0,
    threadsMatter: familyOf(model.configJson).threadsMatter,
  });
  await launcher.launch({ workers, run, coordinatorAddress, joinToken, threads, tls });
  await gather(fleet, launcher, workers, signal);
  view.doing("preparing: each worker records and compiles the step");
  const prepare = trainingPrepare(settings, model, table, threads);
  // Who joins later may come from anywhere.
  prepare.selfTest = needSelfTest(fleet.present) || seatsOf(launch) > workers;
  const { preparedOf } = context;
  for (const [workerId, said] of await fleet.prepare(prepare, signal)) {
    preparedOf.set(workerId, said);
  }
  const members = fleet.present.filter(({ workerId }) => preparedOf.has(workerId));
  checkWorkers(context, members, preparedOf);
  return members;
}
