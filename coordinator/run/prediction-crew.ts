/**
 * The workers of a prediction. They are started as soon as their number is known, and join while the coordinator loads the
 * model that they will be asked about: both take as long.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import type { NativeParts } from "../../foundation/native/native-parts.ts";
import { LocalLauncher } from "../launch/local-launcher.ts";
import { startCoordinatorServer, type RunSource } from "../server/coordinator-server.ts";
import { Roster } from "../server/roster.ts";
import { chunksOf } from "../server/state-stream.ts";
import { Closers } from "./closers.ts";
import { Fleet } from "./fleet.ts";
import { evaluationMicrobatch } from "./microbatch-feed.ts";
import type { PredictionWork } from "./prediction-work.ts";
import type { Clock } from "./run-context.ts";

/** How many workers are started, and by which means. */
export interface CrewOptions {
  readonly workers: number;
  /** Threads of each worker's TensorFlow. */
  readonly threads: number | null;
  readonly device: "cpu" | "gpu";
  /** Sees to the native parts. Where some have to be fetched, it waits for `served`: a model that is of no use needs none. */
  readonly ensureNative: (
    served: Promise<void>,
    signal: AbortSignal,
  ) => Promise<Pick<NativeParts, "bindingFile" | "tensorflowVersion">>;
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly clock: Clock;
  /** Told of what goes wrong, line by line. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Workers whose processes exist. */
export interface LaunchedWorkers {
  readonly fleet: Fleet;
  readonly launcher: LocalLauncher;
}

interface Served {
  readonly model: LoadedModel;
  readonly work: PredictionWork;
}

const stopGraceMs = 2_000;

/** Workers from their start to their end. */
export class PredictionCrew {
  readonly options: CrewOptions;
  /** Resolves when the processes exist. Rejects when they cannot be started, or with the signal's reason. */
  readonly launched: Promise<LaunchedWorkers>;
  /** Aborted when the crew is closed, or by whoever started it. */
  readonly signal: AbortSignal;
  readonly #closers = new Closers();
  readonly #over = new AbortController();
  #served: Served | null = null;
  #tellServed: () => void = () => undefined;
  #tellUnserved: (reason: unknown) => void = () => undefined;

  /** Starts the workers. */
  constructor(options: CrewOptions) {
    this.options = options;
    this.signal = AbortSignal.any([options.signal, this.#over.signal]);
    this.launched = this.#launch();
    // Whoever waits for it is told; nobody does where the model cannot be used.
    this.launched.catch(() => undefined);
  }

  /** Says what workers that ask for weights and records are given. */
  serve(model: LoadedModel, work: PredictionWork): void {
    this.#served = { model, work };
    this.#tellServed();
  }

  /** Ends every process; those that were never served at once. */
  async close(): Promise<void> {
    const reason = new DOMException("The prediction is over", "AbortError");
    this.#over.abort(reason);
    this.#tellUnserved(reason);
    await this.launched.catch(() => undefined);
    await this.#closers.close((error) => this.options.say(`closing: ${String(error)}`));
  }

  async #launch(): Promise<LaunchedWorkers> {
    const { env, platform, device, workers, threads, clock } = this.options;
    const served = new Promise<void>((resolve, reject) => {
      this.#tellServed = resolve;
      this.#tellUnserved = reject;
    });
    // Told to who fetches; mostly there is nothing to fetch.
    served.catch(() => undefined);
    const native = await this.options.ensureNative(served, this.signal);
    this.signal.throwIfAborted();
    const run = `predict-${randomBytes(4).toString("hex")}`;
    const joinToken = randomBytes(24).toString("base64url");
    const logFolder = await mkdtemp(join(tmpdir(), "ringmaster-predict-"));
    this.#closers.add(() => rm(logFolder, { recursive: true, force: true }));
    const launcher = new LocalLauncher({ env, platform, logFolder, device, ...native });
    const roster = new Roster({
      run,
      joinToken,
      seats: workers,
      natsUrl: "",
      nowMs: clock.nowMs,
      idOf: (candidate) => launcher.idOf(candidate.processId),
    });
    const server = await startCoordinatorServer({
      run,
      listen: "127.0.0.1:0",
      tls: null,
      roster,
      source: this.#source(),
    });
    this.#closers.add(() => server.close());
    this.#closers.add(() => launcher.stop(this.#served === null ? 0 : stopGraceMs));
    await launcher.launch({
      workers,
      run,
      coordinatorAddress: server.address,
      joinToken,
      threads,
      tls: null,
    });
    const observer = {
      onJoined: () => {},
      onLeft: () => {},
      onProfiled: () => {},
      onHashed: () => {},
    };
    return { fleet: new Fleet(roster, observer), launcher };
  }

  /** Serves weights and records; takes no state back. */
  #source(): RunSource {
    const served = (): Served => {
      if (this.#served === null) throw new Error("Cannot serve before there is a model");
      return this.#served;
    };
    return {
      readState: () => chunksOf({ step: 0, parameters: served().model.state, moments: null }),
      async *readMicrobatches({ workerId }, _request, signal) {
        const { work } = served();
        for (;;) {
          const task = await work.next(workerId, signal);
          if (task === null) return;
          yield evaluationMicrobatch(task.microbatch, task.records);
        }
      },
      writeState: () => Promise.reject(new Error("Cannot store a state: this is a prediction")),
    };
  }
}
