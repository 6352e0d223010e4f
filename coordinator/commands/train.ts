/** `coordinator train`: from what the user gave to a run, with everything checked before anything starts. */
import { availableCores } from "../../foundation/host/available-cores.ts";
import { presentGpus, refuseMissingGpus } from "../../foundation/host/graphics-cards.ts";
import { processorFeatures } from "../../foundation/host/processor-features.ts";
import { refuseSlowPrecision } from "../../foundation/job/check-precision.ts";
import { createProgressSink, type ProgressSink } from "../../foundation/native/progress.ts";
import { say, type CommandContext } from "./command-context.ts";
import { chooseView } from "./choose-view.ts";
import { checkFreePorts } from "./free-ports.ts";
import type { OpenedJob } from "./open-job.ts";
import type { LaunchSettings } from "../../foundation/job/settings.ts";
import {
  readTlsIdentity,
  tlsFilesOf,
  type TlsIdentity,
} from "../../foundation/tls/tls-identity.ts";
import { prepareJob, type PreparedJob } from "./prepare-job.ts";
import { describeEnd, type NextSteps } from "./train-end.ts";
import { describeOpened, describePlan, describeStart } from "./train-text.ts";

function progressOf(context: CommandContext): ProgressSink {
  return createProgressSink({
    output: context.stdout,
    isTerminal: context.stdout.isTTY === true,
    now: context.nowMs,
  });
}

function sayAll(context: CommandContext, lines: readonly string[]): void {
  for (const line of lines) say(context, line);
}

function sayNotes(context: CommandContext, notes: readonly string[]): void {
  sayAll(
    context,
    notes.map((note) => `  note     ${note}`),
  );
}

const exampleCharactersMax = 80;

/** The beginning of a text, in one line, to show how to ask the model. */
function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length <= exampleCharactersMax ? line : `${line.slice(0, exampleCharactersMax)}…`;
}

/** A sample of the data to show how to ask the model. */
async function nextSteps(
  job: PreparedJob,
  opened: OpenedJob,
  signal: AbortSignal,
): Promise<NextSteps> {
  const { data } = opened;
  const records = await (data.validation ?? data.train)?.read([0], signal);
  const record = records?.[0];
  const examplePair = record?.textPair === undefined ? null : shortened(record.textPair);
  return {
    example: shortened(record?.text ?? "a text"),
    examplePair,
    isQuickstart: job.isQuickstart,
  };
}

/** A job, and what secures its connections. */
interface SecuredJob extends PreparedJob {
  readonly tls: TlsIdentity | null;
}

function identityOf({ tlsCert, tlsKey, tlsCa }: LaunchSettings, now: Date): TlsIdentity | null {
  const files = tlsFilesOf({ cert: tlsCert, key: tlsKey, ca: tlsCa });
  return files === null ? null : readTlsIdentity(files, now);
}

async function runOpened(
  job: SecuredJob,
  opened: OpenedJob,
  context: CommandContext,
): Promise<number> {
  const { env, interrupts, platform, processId } = context;
  const { settings, data, model } = opened;
  const { ensureNativeParts } = await import("../../foundation/native/native-parts.ts");
  const native = await ensureNativeParts({
    env,
    device: settings.device,
    progress: progressOf(context),
    signal: interrupts.finish,
  });
  const next = await nextSteps(job, opened, interrupts.finish);
  const { runJob } = await import("../run/run-job.ts");
  const outcome = await runJob({
    settings,
    launch: job.launch,
    tls: job.tls,
    native,
    model,
    data,
    env,
    platform,
    cores: availableCores(),
    processId,
    view: chooseView(context, settings.loggingSteps),
    clock: { nowMs: context.nowMs, now: context.now },
    interrupts,
  });
  sayAll(context, describeEnd(outcome, next));
  return outcome.exitCode;
}

/** Opens the job, says what it is, and unless only the plan is wanted, runs it. */
async function carryOut(
  job: SecuredJob,
  isDryRun: boolean,
  context: CommandContext,
): Promise<number> {
  const { env, interrupts } = context;
  const { workers } = job.launch;
  const { openJob, closeData } = await import("./open-job.ts");
  const world = { env, progress: progressOf(context), signal: interrupts.finish };
  const opened = await openJob(job.settings, workers, world);
  const { settings, data, model, plan } = opened;
  try {
    const validationSize = data.validation?.size ?? null;
    const maxLength = settings.maxLength ?? model.maxPositions;
    sayAll(context, describeOpened({ plan, validationSize, maxLength }));
    sayNotes(context, opened.notes);
    if (!isDryRun) return await runOpened(job, opened, context);
    sayAll(context, describePlan(plan, workers));
    return 0;
  } finally {
    await closeData(data);
  }
}

/**
 * Trains, or with `--dry-run` prints the plan. Resolves with the program's exit code.
 * @param jobFile the job file that was named, or null
 * @param given raw values of flags by name
 */
export async function runTrain(
  jobFile: string | null,
  given: Readonly<Record<string, unknown>>,
  context: CommandContext,
): Promise<number> {
  const { "dry-run": dryRun, ...flags } = given;
  const job = await prepareJob(jobFile, flags, context);
  const isDryRun = dryRun === "true";
  // A plan may be for another machine.
  if (job.launch.spawnWorkers && !isDryRun) {
    refuseMissingGpus(job.settings.device, job.launch.workers, {
      present: presentGpus(),
      visibleDevices: context.env["CUDA_VISIBLE_DEVICES"],
    });
    refuseSlowPrecision(job.settings, processorFeatures());
  }
  const tls = identityOf(job.launch, context.now());
  await checkFreePorts(job.launch);
  sayAll(context, describeStart({ ...job, cores: availableCores() }));
  sayNotes(context, job.notes);
  return carryOut({ ...job, tls }, isDryRun, context);
}
