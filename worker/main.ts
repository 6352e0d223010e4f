/**
 * The worker's entry: reads flags and environment, joins, works, leaves. Exit codes: 0 after Finish; 1 for a failure or a
 * lost coordinator; 2 for the user's input; 130 and 143 when a signal ends it. SIGTERM lets a worker that has joined finish
 * its step and leave when the coordinator knows; a second one ends it at once.
 */
import { pino, type Logger } from "pino";
import { BadInput } from "../foundation/bad-input.ts";
import { SetupProblem } from "../foundation/native/setup-problem.ts";
import { readWorkerOptions, type WorkerOptions } from "./options.ts";
import { SessionLost } from "./session/directive-queue.ts";
import { workFor } from "./worker.ts";

/** A signal has told the worker to leave. */
class ToldToLeave extends Error {
  override readonly name = "ToldToLeave";
  readonly signal: NodeJS.Signals;
  constructor(signal: NodeJS.Signals) {
    super(`told to leave by ${signal}`);
    this.signal = signal;
  }
}

const stderrDescriptor = 2;

/** Runs the program; resolves with its exit code. */
export async function main(process: NodeJS.Process): Promise<number> {
  try {
    const request = readWorkerOptions(process.argv.slice(2), process.env);
    if (request.kind === "help") {
      process.stdout.write(request.text);
      return 0;
    }
    return await runWorker(request.options, process);
  } catch (error) {
    if (!(error instanceof BadInput || error instanceof SetupProblem)) throw error;
    process.stderr.write(`worker: ${error.message}\n`);
    return error instanceof BadInput ? 2 : 1;
  }
}

async function runWorker(options: WorkerOptions, process: NodeJS.Process): Promise<number> {
  // Synchronous: the last lines are there whatever ends the process.
  const log = pino(
    { base: null, level: options.logLevel, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: stderrDescriptor, sync: true }),
  );
  const ending = new AbortController();
  const parting = new AbortController();
  const end = (signal: NodeJS.Signals): void => ending.abort(new ToldToLeave(signal));
  let hasJoined = false;
  process.on("SIGTERM", (signal) => {
    if (!hasJoined || parting.signal.aborted) end(signal);
    else parting.abort(new ToldToLeave(signal));
  });
  process.on("SIGINT", (signal) => {
    // Once it has joined, a terminal's Ctrl-C concerns the coordinator, which then tells.
    if (!hasJoined) end(signal);
  });
  const onJoined = (): void => {
    hasJoined = true;
  };
  try {
    const { env, pid: processId } = process;
    // The time of day at the start, and from there a clock that only goes forward: the same in all threads.
    const nowMs = (): number => performance.timeOrigin + performance.now();
    const signals = { parting: parting.signal, signal: ending.signal };
    const reason = await workFor(options, {
      env,
      processId,
      log,
      nowMs,
      now: () => new Date(),
      onJoined,
      ...signals,
    });
    log.info({ reason }, "finished");
    return parting.signal.aborted ? failureCode(parting.signal.reason, log) : 0;
  } catch (error) {
    return failureCode(error, log);
  }
}

/** Logs why the worker ends, and gives its exit code. */
function failureCode(error: unknown, log: Logger): number {
  if (error instanceof BadInput) {
    log.error(error.message);
    return 2;
  }
  if (error instanceof ToldToLeave) {
    log.warn(error.message);
    return error.signal === "SIGINT" ? 130 : 143;
  }
  if (error instanceof SessionLost || error instanceof SetupProblem) log.error(error.message);
  else log.error({ err: error }, "failed");
  return 1;
}
