/** The input thread: tokenises and collates what it is asked to, one microbatch after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { createCollator } from "../model/collators.ts";
import {
  packError,
  type CollateAnswer,
  type CollateRequest,
  type InputSettings,
} from "./input-messages.ts";

const port = parentPort;
if (port === null) throw new Error("Cannot run input-thread-main outside of a worker thread");

/** The time of day at the start, and from there a clock that only goes forward: the same in all threads. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

function answer(message: CollateAnswer, buffers: readonly ArrayBuffer[] = []): void {
  port?.postMessage(message, buffers);
}

function buffersOf(arrays: Readonly<Record<string, Float32Array | Int32Array>>): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { buffer } of Object.values(arrays)) {
    if (buffer instanceof ArrayBuffer) buffers.add(buffer);
  }
  return [...buffers];
}

// Only startInputThread starts this thread, and it passes InputSettings.
const settings = workerData as InputSettings;
try {
  const collator = await createCollator(settings.family, settings);
  port.on("message", ({ ticket, samples, microbatchSize }: CollateRequest) => {
    try {
      const startMs = nowMs();
      const batch = collator.collate(samples, microbatchSize);
      const collation = { startMs, endMs: nowMs() };
      answer({ kind: "collated", ticket, batch, collation }, buffersOf(batch.arrays));
    } catch (error) {
      answer({ kind: "failed", ticket, error: packError(error) });
    }
  });
  answer({ kind: "ready" });
} catch (error) {
  answer({ kind: "broken", error: packError(error) });
}
