/**
 * Names a process so that it cannot be confused with a later one of the same number: pid, start time, and the scope in
 * which both mean something (one boot of one machine, one pid namespace).
 */
import { execFile } from "node:child_process";
import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { promisify } from "node:util";

/** One process, distinct from every other that ever had or will have its number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; equal for equal processes. */
  readonly startTime: string;
  /** Opaque; pids of different scopes cannot be compared. */
  readonly scope: string;
}

async function scopeOfThisProcess(): Promise<string> {
  if (process.platform !== "linux") return hostname();
  const [boot, namespace] = await Promise.all([
    readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    readlink("/proc/self/ns/pid"),
  ]);
  return `${boot.trim()} ${namespace}`;
}

/** When the process started, or null when there is none of that number (a zombie counts as none). */
async function startTimeOf(pid: number): Promise<string | null> {
  if (process.platform === "linux") {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
    if (stat === null) return null;
    // The second field is the program's name in parentheses and may hold anything; the third is the state.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const startTimeField = 19;
    return fields[0] === "Z" || fields[0] === "X" ? null : (fields[startTimeField] ?? null);
  }
  const listed = await promisify(execFile)("ps", ["-o", "lstart=", "-p", String(pid)]).catch(
    () => null,
  );
  return listed?.stdout.trim() || null;
}

/** The calling process. */
export async function identityOfThisProcess(): Promise<ProcessIdentity> {
  const [scope, startTime] = await Promise.all([scopeOfThisProcess(), startTimeOf(process.pid)]);
  return { pid: process.pid, startTime: startTime ?? "unknown", scope };
}

/** Whether that process still runs: yes, no, or `unknown` when it belongs to another machine or container. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean | "unknown"> {
  if (identity.scope !== (await scopeOfThisProcess())) return "unknown";
  return (await startTimeOf(identity.pid)) === identity.startTime;
}
