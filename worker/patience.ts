/** Waiting for what another thread writes to shared memory: nothing wakes a thread of JavaScript that TensorFlow's threads do. */
import { setTimeout as pause } from "node:timers/promises";

/** Sleep between two looks, in milliseconds: an eighth of the wait so far, within these. */
const pauseMsMin = 1;
const pauseMsMax = 4;

/** Looks every few milliseconds until something holds. Rejects with the signal's reason. */
export async function waitUntil(holds: () => boolean, signal?: AbortSignal): Promise<void> {
  for (let waitedMs = 0; !holds();) {
    signal?.throwIfAborted();
    const pauseMs = Math.min(pauseMsMax, Math.max(pauseMsMin, waitedMs / 8));
    await pause(pauseMs);
    waitedMs += pauseMs;
  }
}
