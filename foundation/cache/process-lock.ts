/**
 * A lock between processes that outlives no holder: a SIGKILLed one is recognised and followed at once, on the same
 * machine by its process identity, on a shared file system by its silence.
 *
 * The lock is a numbered file, `name.7`; the highest number is the lock's state and is never removed, so that a slow
 * rival can never take an old number for a new lock:
 *
 *     holder of 7 lives      → wait
 *     7 released or dead     → link `name.8` into place (exactly one rival succeeds), look again: nothing higher → held
 *     held                   → remove the lower numbers
 *
 * A file's first line names its owner; each heartbeat appends a line feed, a release appends a word.
 */
import { randomUUID } from "node:crypto";
import { appendFile, link, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { identityOfThisProcess, isRunning, type ProcessIdentity } from "./process-identity.ts";

/** How one waits for the lock. Every field but the signal has a default. */
export interface LockOptions {
  readonly signal: AbortSignal;
  /** Called once when another process holds the lock. */
  readonly onWait?: (holder: ProcessIdentity) => void;
  /** How often to look, in milliseconds; default 200. */
  readonly pollMs?: number;
  /** A holder of another machine or container that gives no sign for so long is dead; default 60 000. */
  readonly silenceMs?: number;
  /** How often a holder gives a sign; default 5 000. */
  readonly heartbeatMs?: number;
}

const ownerSchema = z.object({ pid: z.number(), startTime: z.string(), scope: z.string() });
const releasedMark = "released";

interface Claim {
  readonly number: number;
  readonly owner: ProcessIdentity | null;
  readonly released: boolean;
  /** Grows with every heartbeat. */
  readonly length: number;
}

function claimNumber(lockFile: string, entry: string): number | null {
  const prefix = `${basename(lockFile)}.`;
  const digits = entry.startsWith(prefix) ? entry.slice(prefix.length) : "";
  return /^\d+$/.test(digits) ? Number(digits) : null;
}

async function claimNumbers(lockFile: string): Promise<number[]> {
  const entries = await readdir(dirname(lockFile));
  return entries
    .map((entry) => claimNumber(lockFile, entry))
    .filter((number) => number !== null)
    .sort((left, right) => left - right);
}

async function readClaim(lockFile: string, number: number): Promise<Claim | null> {
  const text = await readFile(`${lockFile}.${number}`, "utf8").catch(() => null);
  if (text === null) return null;
  const [firstLine = "", ...rest] = text.split("\n");
  let owner: ProcessIdentity | null = null;
  try {
    owner = ownerSchema.parse(JSON.parse(firstLine));
  } catch {
    // A damaged file (full disk, power cut) has no owner that could be alive.
  }
  return { number, owner, released: rest.includes(releasedMark), length: text.length };
}

/** Tries to become the owner of that number; false when a rival was quicker. */
async function claim(lockFile: string, number: number, owner: ProcessIdentity): Promise<boolean> {
  const draft = join(dirname(lockFile), `.draft-${basename(lockFile)}-${randomUUID()}`);
  await writeFile(draft, `${JSON.stringify(owner)}\n`);
  try {
    // link() puts the whole content in place at once, and fails when the name is taken.
    await link(draft, `${lockFile}.${number}`);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EEXIST" || code === "ENOENT") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const highest = (await claimNumbers(lockFile)).at(-1);
  if (highest === number) return true;
  await rm(`${lockFile}.${number}`, { force: true });
  return false;
}

async function removeOlder(lockFile: string, number: number): Promise<void> {
  const draftPrefix = `.draft-${basename(lockFile)}-`;
  for (const entry of await readdir(dirname(lockFile))) {
    const older = claimNumber(lockFile, entry);
    if (entry.startsWith(draftPrefix) || (older !== null && older < number)) {
      await rm(join(dirname(lockFile), entry), { force: true });
    }
  }
}

/** Waits until the claim's owner has released it or is dead. False when the claim is gone: look again. */
async function ownerIsGone(
  lockFile: string,
  options: LockOptions,
  number: number,
): Promise<boolean> {
  const pollMs = options.pollMs ?? 200;
  const silentPollsMax = Math.ceil((options.silenceMs ?? 60_000) / pollMs);
  let told = false;
  let silentPolls = 0;
  let length = -1;
  for (;;) {
    const seen = await readClaim(lockFile, number);
    if (seen === null) return false;
    if (seen.released || seen.owner === null) return true;
    const running = await isRunning(seen.owner);
    if (running === false) return true;
    silentPolls = running === "unknown" && seen.length === length ? silentPolls + 1 : 0;
    if (silentPolls >= silentPollsMax) return true;
    length = seen.length;
    if (!told) options.onWait?.(seen.owner);
    told = true;
    await sleep(pollMs, undefined, { signal: options.signal });
  }
}

async function acquire(lockFile: string, options: LockOptions): Promise<number> {
  const owner = await identityOfThisProcess();
  for (;;) {
    options.signal.throwIfAborted();
    const highest = (await claimNumbers(lockFile)).at(-1);
    if (highest !== undefined && !(await ownerIsGone(lockFile, options, highest))) continue;
    const number = (highest ?? 0) + 1;
    if (await claim(lockFile, number, owner)) return number;
  }
}

/**
 * Runs `work` while no other process that asks for the same lock runs its own; waits for the lock until the signal.
 * @param lockFile path without the number; its folder is made
 */
export async function withProcessLock<Result>(
  lockFile: string,
  options: LockOptions,
  work: () => Promise<Result>,
): Promise<Result> {
  await mkdir(dirname(lockFile), { recursive: true });
  const number = await acquire(lockFile, options);
  const held = `${lockFile}.${number}`;
  const heartbeat = setInterval(() => {
    // A full disk may refuse the sign; the holder's own work will report it.
    appendFile(held, "\n").catch(() => undefined);
  }, options.heartbeatMs ?? 5_000);
  heartbeat.unref();
  try {
    await removeOlder(lockFile, number);
    return await work();
  } finally {
    clearInterval(heartbeat);
    // Where the disk is full the mark cannot be written: removing our number is then safe enough, and frees the lock.
    await appendFile(held, `${releasedMark}\n`).catch(() => rm(held, { force: true }));
  }
}
