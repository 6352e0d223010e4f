/**
 * The engine as the main thread sees it: the same interface over a thread of its own, so that TensorFlow's blocking calls
 * hold up neither the ring nor the session. Vectors pass through shared memory.
 */
import { Worker } from "node:worker_threads";
import { unpackError } from "../input/input-messages.ts";
import type { EngineAnswer, EngineRequest, EngineThreadOptions } from "./engine-messages.ts";
import type { Engine } from "./engine.ts";

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** This thread makes little garbage, and needs no young generation of the size that the main thread's buffers do. */
const threadLimits = { maxYoungGenerationSizeMb: 6 } as const;

/** The binding keeps its tensors in one place per process, which a second thread would take over. */
let running = false;

/**
 * Starts the thread and loads TensorFlow, which reads the process's environment now. One engine per process at a time.
 * Rejects when the binding cannot be loaded. `close` ends the thread; what is under way rejects.
 */
export async function startEngineThread(options: EngineThreadOptions): Promise<Engine> {
  if (running) throw new Error("Cannot start a second engine in this process");
  running = true;
  const thread = new EngineThread(options);
  try {
    await thread.ready;
  } catch (error) {
    await thread.end();
    throw error;
  }
  return engineOver(thread);
}

class EngineThread {
  /** Resolves once TensorFlow is loaded. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #tickets = 0;
  #ended: Error | null = null;

  constructor(options: EngineThreadOptions) {
    this.#worker = new Worker(new URL("./engine-thread.mjs", import.meta.url), {
      workerData: options,
      name: "engine",
      resourceLimits: threadLimits,
    });
    this.ready = new Promise((resolve, reject) => {
      const fail = (reason: Error): void => {
        this.#ended ??= reason;
        reject(this.#ended);
        for (const waiting of this.#pending.values()) waiting.reject(this.#ended);
        this.#pending.clear();
      };
      this.#worker.on("message", (message: EngineAnswer) => {
        if (message.kind === "ready") resolve();
        else if (message.kind === "broken") fail(unpackError(message.error));
        else this.#settle(message);
      });
      this.#worker.on("error", fail);
      this.#worker.on("exit", (code) => {
        fail(new Error(`The engine's thread has ended with code ${code}`));
      });
    });
  }

  call<Method extends keyof Engine>(
    method: Method,
    ...parameters: Parameters<Engine[Method]>
  ): Promise<Awaited<ReturnType<Engine[Method]>>> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const ticket = this.#tickets++;
    // Both ends are ours and share EngineRequest: the result is what the method promises.
    const request = { ticket, method, parameters } as EngineRequest;
    return new Promise((resolve, reject) => {
      this.#pending.set(ticket, {
        resolve: (result) => resolve(result as Awaited<ReturnType<Engine[Method]>>),
        reject,
      });
      this.#worker.postMessage(request);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
    running = false;
  }

  #settle(message: Extract<EngineAnswer, { readonly ticket: number }>): void {
    const waiting = this.#pending.get(message.ticket);
    this.#pending.delete(message.ticket);
    if (message.kind === "done") waiting?.resolve(message.result);
    else waiting?.reject(unpackError(message.error));
  }
}

/** What is written in the other thread must be seen in this one. */
function checkShared(vector: Float32Array): void {
  if (vector.length > 0 && !(vector.buffer instanceof SharedArrayBuffer)) {
    throw new TypeError("Cannot pass a vector to the engine's thread that is not in shared memory");
  }
}

function engineOver(thread: EngineThread): Engine {
  return {
    prepare: (options) => thread.call("prepare", options),
    loadState: (state) => thread.call("loadState", state),
    readState: (withOptimizer, run) => thread.call("readState", withOptimizer, run),
    giveBack: (state) => thread.call("giveBack", state),
    async runPhase(phase, batch, at, feeds) {
      checkShared(feeds.into);
      return await thread.call("runPhase", phase, batch, at, feeds);
    },
    async norm(reduced, squares) {
      checkShared(reduced);
      return await thread.call("norm", reduced, squares);
    },
    update: (options) => thread.call("update", options),
    skip: (step) => thread.call("skip", step),
    updateShare: (options) => thread.call("updateShare", options),
    takeWeights: () => thread.call("takeWeights"),
    evaluate: (batch) => thread.call("evaluate", batch),
    startProfile: () => thread.call("startProfile"),
    takeProfile: () => thread.call("takeProfile"),
    replacePrograms: (options) => thread.call("replacePrograms", options),
    close: () => thread.end(),
  };
}
