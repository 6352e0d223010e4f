/**
 * No child outlives the coordinator. Each runs behind a few lines of `sh` that hold the reading end of a pipe whose
 * writing end only the coordinator has: when that closes, by whatever death, the guard ends the child. Guard and child
 * have a process group of their own, so that a terminal's Ctrl-C reaches the coordinator alone, which decides.
 *
 *   coordinator ──pipe──▶ guard (sh, leader of the group) ──▶ child
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";

/** Descriptor on which the guard says the child's process id. */
const processIdDescriptor = 3;

/**
 * The guard. `$1` is the grace in tenths of a second, the rest is the command. It passes SIGTERM on, ends as the child
 * ended (same code, same signal), and lets nothing of its group live on.
 */
const guardScript = `
graceTenths=$1; shift
exec 4<&0
"$@" </dev/null 3>&- 4<&- &
child=$!
trap 'kill -s TERM "$child" 2>/dev/null' TERM INT HUP
echo "$child" >&3; exec 3>&-
(
  exec >/dev/null 2>&1
  read -r never <&4
  kill -s TERM "$child"
  while [ "$graceTenths" -gt 0 ] && kill -0 "$child"; do sleep 0.1; graceTenths=$((graceTenths - 1)); done
  kill -s KILL -- "-$$"
) &
watcher=$!
exec 4<&-
wait "$child"; code=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
kill -s KILL "$watcher" 2>/dev/null
trap - TERM INT HUP
if [ "$code" -gt 128 ]; then kill -s "$((code - 128))" $$; fi
exit "$code"
`;

/** How a child is started. */
export interface GuardOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Where its output goes: two open descriptors, or nowhere. */
  readonly output: { readonly stdout: number; readonly stderr: number } | "ignore";
  /** Time between SIGTERM and SIGKILL once the coordinator is gone, in milliseconds. */
  readonly graceMs: number;
  readonly cwd?: string;
}

/** A child behind its guard. */
export interface GuardedChild {
  /**
   * The guard's process: it exits as the child exited, and `kill` reaches the child: SIGTERM through the guard, SIGKILL
   * with the whole group.
   */
  readonly process: ChildProcess;
  /** Process id of the child itself; 0 when the guard could not be started. */
  readonly childId: Promise<number>;
  /** How it ended. Resolves once nothing of its group is left. */
  readonly ended: Promise<ChildEnd>;
}

/** How a child ended: an exit code, a signal, or that it could not be started. */
export type ChildEnd =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "killed"; readonly signal: NodeJS.Signals }
  | { readonly kind: "not-started"; readonly reason: string };

/** Says how a child ended, in words. */
export function describeEnd(end: ChildEnd): string {
  switch (end.kind) {
    case "exited":
      return `exit code ${end.code}`;
    case "killed":
      return `killed by ${end.signal}`;
    case "not-started":
      return `could not be started: ${end.reason}`;
  }
}

/** Starts a program that ends when the coordinator does. Never throws: a failed start shows in `ended`. */
export function spawnGuarded(
  command: string,
  args: readonly string[],
  options: GuardOptions,
): GuardedChild {
  const graceTenths = String(Math.max(1, Math.round(options.graceMs / 100)));
  const output = options.output === "ignore" ? undefined : options.output;
  const child = spawn("/bin/sh", ["-c", guardScript, "guard", graceTenths, command, ...args], {
    detached: true,
    env: options.env,
    stdio: ["pipe", output?.stdout ?? "ignore", output?.stderr ?? "ignore", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const group = child.pid;
  const killGroup = (signal: NodeJS.Signals): boolean => {
    if (group === undefined) return false;
    try {
      return process.kill(-group, signal);
    } catch {
      return false; // Nobody is left in it.
    }
  };
  const passOn = child.kill.bind(child);
  child.kill = (signal) =>
    signal === "SIGKILL" || signal === 9 ? killGroup("SIGKILL") : passOn(signal ?? "SIGTERM");
  // The pipe is written to by nobody; a guard that has ended resets it.
  child.stdin?.on("error", () => undefined);
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once("error", (error) => resolve({ kind: "not-started", reason: error.message }));
    child.once("exit", (code, signal) => {
      killGroup("SIGKILL");
      child.stdin?.destroy();
      resolve(signal === null ? { kind: "exited", code: code ?? 1 } : { kind: "killed", signal });
    });
  });
  return { process: child, childId: readChildId(child), ended };
}

function readChildId(child: ChildProcess): Promise<number> {
  const pipe = child.stdio[processIdDescriptor];
  return new Promise((resolve) => {
    let text = "";
    pipe?.on("error", () => resolve(0));
    pipe?.on("data", (data: Buffer) => {
      text += data.toString("latin1");
    });
    pipe?.once("close", () => resolve(Number.parseInt(text, 10) || 0));
    child.once("error", () => resolve(0));
  });
}
