/** Runs the user's own tools (pip, npm, the compiler) so that none of them outlives this process. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** How a command ended. */
export interface CommandResult {
  /** Exit status; 127 when there is no such command, 128 + n after signal n. */
  readonly status: number;
  /** The last 64 KiB of each stream. */
  readonly stdout: string;
  readonly stderr: string;
}

/** What a command runs in. */
export interface CommandOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly folder?: string;
  /** Sees standard output as it comes. */
  readonly onOutput?: (text: string) => void;
}

const outputCharactersMax = 65_536;
const guardFile = fileURLToPath(new URL("./child-guard.mjs", import.meta.url));

/**
 * Runs a command to its end. An abort kills it with all that it has started, and rejects with the signal's reason once
 * it is gone; a killed parent takes it along.
 */
export async function runGuarded(
  command: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  options.signal.throwIfAborted();
  const child = spawn(process.execPath, [guardFile, ...command], {
    env: options.env,
    cwd: options.folder,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(-outputCharactersMax);
    options.onOutput?.(text);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-outputCharactersMax);
  });
  child.stdin.on("error", () => undefined);
  const closePipe = (): void => void child.stdin.destroy();
  options.signal.addEventListener("abort", closePipe, { once: true });
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.on("error", reject).on("close", (code) => resolve(code ?? 128));
    });
    options.signal.throwIfAborted();
    return { status, stdout, stderr };
  } finally {
    options.signal.removeEventListener("abort", closePipe);
    child.stdin.destroy();
  }
}
