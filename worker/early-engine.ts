/**
 * The engine's thread takes as long to start, with TensorFlow's library, as everything until the worker has joined. Where
 * the launcher has said how many threads the job will want, both go on side by side.
 */
import type { Engine } from "./engine/engine.ts";

type StartEngine = (threads: number) => Promise<Engine>;

/** Starts the one engine of a worker, at the latest when the job is prepared. */
export class EarlyEngine {
  readonly #start: StartEngine;
  readonly #early: { readonly threads: number; readonly engine: Promise<Engine> } | null;
  #taken = false;

  /** @param threads that the job will want: starts at once; null waits for the job */
  constructor(start: StartEngine, threads: number | null) {
    this.#start = start;
    this.#early = threads === null ? null : { threads, engine: start(threads) };
    // Whoever takes it is told of its failure.
    this.#early?.engine.catch(() => undefined);
  }

  /** The engine. Rejects where it was started for another number of threads, which TensorFlow reads once. */
  async take(threads: number): Promise<Engine> {
    if (this.#early === null || this.#taken) return await this.#start(threads);
    const { threads: known, engine } = this.#early;
    if (known !== threads) {
      throw new Error(`Cannot compute with ${threads} threads: the launcher has said ${known}`);
    }
    this.#taken = true;
    return await engine;
  }

  /** Ends an engine that nobody has taken. */
  async close(): Promise<void> {
    if (this.#taken || this.#early === null) return;
    const engine = await this.#early.engine.catch(() => null);
    await engine?.close();
  }
}
