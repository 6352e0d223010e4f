/**
 * Copies of the state after a step: the engine makes them beside the next step's programs, which only read the state, and uploads
 * and hashes are made of them while steps go on. Only what changes the state waits, until all of it is copied.
 */
import { create } from "@bufbuild/protobuf";
import {
  WeightsHashedSchema,
  type Checkpoint,
  type HashWeights,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { EngineState } from "./engine/engine.ts";
import { sections } from "./engine/graph-names.ts";
import { WriteMarks } from "./engine/write-marks.ts";
import { TensorHasher } from "./hashing/tensor-hasher.ts";
import { abortable } from "../foundation/abortable.ts";
import type { PreparedJob } from "./job.ts";
import { waitUntil } from "./patience.ts";
import type { Session } from "./session/session.ts";
import { cutState } from "./state-transfer.ts";

/** Whose state, and who is told. */
interface CopyMeans {
  readonly job: Pick<PreparedJob, "engine" | "table">;
  readonly session: Pick<Session, "writeState" | "report">;
}

/** A copy, which may not be whole yet. */
interface StateCopy {
  readonly state: EngineState;
  readonly weights: Promise<void>;
  readonly whole: Promise<void>;
  /** Uploads and hashes that are not over. */
  uses: number;
}

/** The copies of one worker. */
export class StateCopies {
  readonly #marks = new WriteMarks(sections.length);
  readonly #hasher = new TensorHasher();
  readonly #over = new AbortController();
  /** A copy of the state as it is, until that changes or the copy is given back. */
  #newest: StateCopy | null = null;
  #copied: Promise<void> = Promise.resolve();
  #hashed: Promise<void> = Promise.resolve();
  /** Whether the coordinator could not read what was lent. */
  #lendsInVain = false;
  #failure: { readonly error: unknown } | null = null;

  /** Waits until nothing is still to be copied: from then on the state may change. Rejects with the signal's reason. */
  async beforeChange(signal: AbortSignal): Promise<void> {
    await abortable(this.#copied, signal);
    this.#newest = null;
  }

  /** Throws what an upload or a hash has failed of. */
  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Begins to copy the state of the directive's step, and to upload it. Throws when it is of another step. */
  async upload(directive: Checkpoint, means: CopyMeans, signal: AbortSignal): Promise<void> {
    const { step, withOptimizer } = directive;
    const copy = await this.#copy(means, { step, withOptimizer }, signal);
    void this.#use(copy, means.job, async () => {
      await copy.whole;
      const lends = directive.mayLend && !this.#lendsInVain;
      if (lends && (await this.#send(copy, directive, means, true))) return;
      this.#lendsInVain ||= lends;
      if (!(await this.#send(copy, directive, means, false)))
        throw new Error("The coordinator has not taken the state");
    });
  }

  /** Gives whether it was taken. */
  async #send(
    { state }: StateCopy,
    { checkpoint, momentsOnly }: Checkpoint,
    { job, session }: CopyMeans,
    lends: boolean,
  ): Promise<boolean> {
    const chunks = cutState(state, { momentsOnly, trainableSize: job.table.trainableSize, lends });
    return await session.writeState(checkpoint, chunks, this.#over.signal);
  }

  /** Begins to hash the weights of the directive's step, and to report it. Throws when the state is of another step. */
  async hash({ step }: HashWeights, means: CopyMeans, signal: AbortSignal): Promise<void> {
    const { job, session } = means;
    const copy = this.#newest ?? (await this.#copy(means, { step, withOptimizer: false }, signal));
    const before = this.#hashed;
    const sizes = job.table.entries.map(({ size }) => size);
    this.#hashed = this.#use(copy, job, async () => {
      await Promise.all([copy.weights, before]);
      const { parameters } = copy.state;
      const tensorHashes = await this.#hasher.hashTensors(parameters, sizes, this.#over.signal);
      const value = create(WeightsHashedSchema, { step, tensorHashes });
      await session.report({ case: "weightsHashed", value });
    });
  }

  /** Abandons what is made of copies. */
  leave(): void {
    this.#over.abort(new Error("The worker leaves"));
  }

  /** Waits until nothing is copied any more; after `leave`. */
  async close(): Promise<void> {
    await this.#copied;
  }

  async #copy(
    { job: { engine } }: CopyMeans,
    { step, withOptimizer }: { readonly step: bigint; readonly withOptimizer: boolean },
    signal: AbortSignal,
  ): Promise<StateCopy> {
    await this.beforeChange(signal);
    const reading = engine.readState(withOptimizer, this.#marks.begin());
    const reach = async (end: number): Promise<void> => {
      await reading;
      for (let part = 0; part < end; part++) await waitUntil(() => this.#marks.has(part));
    };
    const weights = reach(1);
    const whole = weights.then(() => reach(sections.length));
    // Also where nobody waits for the answer any more, the state is not to change.
    this.#copied = whole.catch(() => undefined);
    const state = await abortable(reading, signal);
    if (BigInt(state.step) !== step) {
      throw new Error(`Cannot copy the state of step ${step} as it is of step ${state.step}`);
    }
    this.#newest = { state, weights, whole, uses: 0 };
    return this.#newest;
  }

  /** Makes something of a copy, which is given back after the last use. Resolves in any case. */
  async #use(
    copy: StateCopy,
    { engine }: CopyMeans["job"],
    make: () => Promise<void>,
  ): Promise<void> {
    copy.uses++;
    try {
      await make();
    } catch (error) {
      this.#failure ??= { error };
    }
    copy.uses--;
    if (copy.uses > 0) return;
    if (this.#newest === copy) this.#newest = null;
    // Not before it is whole: what is given back is filled anew.
    await copy.whole.then(() => engine.giveBack(copy.state)).catch(() => undefined);
  }
}
