/**
 * The coordinator's entry: reads the command line, gives the command its world, turns errors into messages and exit
 * codes. 0: done; 1: a failure of ours or of the machine; 2: the user's input; 130: interrupted.
 */
import { readFileSync } from "node:fs";
import { BadInput } from "../foundation/bad-input.ts";
import { SetupProblem } from "../foundation/native/setup-problem.ts";
import { normalizeArguments } from "./arguments.ts";
import type { CommandContext, Interrupts } from "./commands/command-context.ts";
import { runCommand } from "./commands/run-command.ts";
import { parseArguments } from "./options.ts";
import { booleanFlags } from "./train-flags.ts";

const helpColumnsMax = 120;
const interruptedCode = 130;

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const found = /"version":\s*"([^"]+)"/.exec(text)?.[1];
  return found ?? "unknown";
}

function listenToInterrupts(process: NodeJS.Process): Interrupts {
  const finish = new AbortController();
  const leave = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    const reason = new DOMException(`Interrupted by ${signal}`, "AbortError");
    // Whoever asks a third time does not want to be understood; children end with the pipe that they hold.
    if (leave.signal.aborted) process.exit(interruptedCode);
    if (finish.signal.aborted) leave.abort(reason);
    else finish.abort(reason);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return { finish: finish.signal, leave: leave.signal };
}

function oneLine(message: string): string {
  return message.replaceAll(/\s*[\r\n]+\s*/g, " ");
}

function report(error: unknown, context: CommandContext): number {
  const { stderr, interrupts } = context;
  if (error instanceof BadInput) {
    stderr.write(`coordinator: ${oneLine(error.message)}\n`);
    return 2;
  }
  if (error instanceof SetupProblem) {
    stderr.write(`coordinator: ${oneLine(error.message)}\n`);
    return 1;
  }
  if (interrupts.finish.aborted && error instanceof Error && error.name === "AbortError") {
    stderr.write("coordinator: interrupted\n");
    return interruptedCode;
  }
  stderr.write(
    `coordinator: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return 1;
}

/** Runs the program; resolves with its exit code. */
export async function main(process: NodeJS.Process): Promise<number> {
  const { stdin, stdout, stderr, env } = process;
  const interrupts = listenToInterrupts(process);
  const context: CommandContext = {
    env,
    stdin,
    stdout,
    stderr,
    now: () => new Date(),
    nowMs: () => performance.now(),
    processId: process.pid,
    platform: process.platform,
    nodeVersion: process.version,
    interrupts,
  };
  // A reader that goes away (`| head`) ends the output, not the run.
  stdout.on("error", () => {});
  try {
    const args = normalizeArguments(process.argv.slice(2), booleanFlags());
    const columns = Math.min(stdout.columns ?? helpColumnsMax, helpColumnsMax);
    const write = (text: string): void => void stdout.write(text);
    const invocation = parseArguments(args, version(), { write, columns });
    return invocation === null ? 0 : await runCommand(invocation, context);
  } catch (error) {
    return report(error, context);
  }
}
