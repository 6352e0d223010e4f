/** The input thread as the main thread sees it: collates microbatches in the order in which they are handed over. */
import { Worker } from "node:worker_threads";
import type { SampleRecord } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Batch } from "../model/model.ts";
import { CollationLog } from "./collation-log.ts";
import { unpackError, type CollateAnswer, type InputSettings } from "./input-messages.ts";

/** Turns samples into batches, somewhere else. */
export interface Collating {
  /** Rejects with BadInput when a sample cannot be used. */
  collate(samples: readonly SampleRecord[], microbatchSize: number): Promise<Batch>;
}

/** A running input thread. */
export interface InputThread extends Collating {
  /** When its last batches were made. */
  readonly log: CollationLog;
  /** Ends the thread; what is under way rejects. */
  close(): Promise<void>;
}

interface Pending {
  resolve(batch: Batch): void;
  reject(error: Error): void;
}

/** Starts the thread and loads the tokenizer. Rejects with BadInput when the tokenizer's files are of no use. */
export async function startInputThread(settings: InputSettings): Promise<InputThread> {
  const thread = new Worker(new URL("./input-thread.mjs", import.meta.url), {
    workerData: settings,
    name: "input",
    // What is made of a microbatch's texts is small: no young generation of the size that the main thread's buffers need.
    resourceLimits: { maxYoungGenerationSizeMb: 6 },
  });
  const pending = new Map<number, Pending>();
  const log = new CollationLog();
  let ended: Error | null = null;
  let started: Pick<Pending, "reject"> & { resolve(): void } = {
    resolve: () => undefined,
    reject: () => undefined,
  };
  const ready = new Promise<void>((resolve, reject) => {
    started = { resolve, reject };
  });
  const end = (reason: Error): void => {
    ended ??= reason;
    started.reject(ended);
    for (const waiting of pending.values()) waiting.reject(ended);
    pending.clear();
  };
  thread.on("message", (answer: CollateAnswer) => {
    if (answer.kind === "ready") started.resolve();
    else if (answer.kind === "broken") end(unpackError(answer.error));
    else {
      if (answer.kind === "collated") log.note(answer.batch, answer.collation);
      settle(pending, answer);
    }
  });
  thread.on("error", end);
  thread.on("exit", (code) => end(new Error(`The input thread has ended with code ${code}`)));
  let tickets = 0;
  await ready;
  return {
    log,
    collate(samples, microbatchSize) {
      if (ended !== null) return Promise.reject(ended);
      const ticket = tickets++;
      return new Promise<Batch>((resolve, reject) => {
        pending.set(ticket, { resolve, reject });
        thread.postMessage({ ticket, samples, microbatchSize });
      });
    },
    async close() {
      await thread.terminate();
    },
  };
}

function settle(
  pending: Map<number, Pending>,
  answer: Extract<CollateAnswer, { readonly ticket: number }>,
): void {
  const waiting = pending.get(answer.ticket);
  pending.delete(answer.ticket);
  if (answer.kind === "collated") waiting?.resolve(answer.batch);
  else waiting?.reject(unpackError(answer.error));
}
