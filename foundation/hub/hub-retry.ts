/** Tries again what may pass: broken connections, 408, 429 and 5xx, waiting as long as the hub asks, else ever longer. */
import { setTimeout as sleep } from "node:timers/promises";
import type { HubAccess } from "./hub-access.ts";
import { asFailure, type HubFailure } from "./hub-request.ts";

/** Attempts in a row that bring nothing new. */
export const attemptsMax = 5;
/** Less than this is no progress: a server that breaks off after a few bytes is not asked for ever. */
const progressBytesMin = 65_536;
const defaultBackoffMs = 1000;
const backoffMsMax = 30_000;
/** A hub that asks for longer is not waited for. */
const retryAfterMsMax = 300_000;

/** How long to wait before attempt `attempt` (from 1); null when there is none. */
export function waitBefore(
  attempt: number,
  failure: Pick<HubFailure, "isPassing" | "retryAfterMs">,
  backoffMs: number,
): number | null {
  if (!failure.isPassing || attempt >= attemptsMax) return null;
  const asked = failure.retryAfterMs;
  if (asked === null) return Math.min(backoffMsMax, backoffMs * 2 ** (attempt - 1));
  return asked <= retryAfterMsMax ? asked : null;
}

/**
 * Calls `attempt` until it succeeds. Attempts count anew whenever `progressOf`, in bytes, has grown well.
 * Rejects with the last HubFailure, or with the signal's reason.
 */
export async function withRetries<Result>(
  access: HubAccess,
  attempt: () => Promise<Result>,
  progressOf: () => number = () => 0,
): Promise<Result> {
  let failures = 0;
  let progress = progressOf();
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const failure = asFailure(error, access);
      failures = progressOf() - progress >= progressBytesMin ? 1 : failures + 1;
      progress = progressOf();
      const waitMs = waitBefore(failures, failure, access.backoffMs ?? defaultBackoffMs);
      if (waitMs === null) throw failure;
      await sleep(waitMs, undefined, { signal: access.signal });
    }
  }
}
