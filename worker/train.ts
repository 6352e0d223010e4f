/** The life of a worker: carries out directives in their order until Finish. Read this first; `step.ts` has what a step does. */
import { create } from "@bufbuild/protobuf";
import {
  RingReadySchema,
  StepAppliedSchema,
  type Checkpoint,
  type CommitStep,
  type ControlCommand,
  type Evaluate,
  type FormRing,
  type HashWeights,
  type Prepare,
  type RunStep,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import { applyStep, type AppliedStep } from "./apply-step.ts";
import { evaluateSplit } from "./evaluate.ts";
import type { ArenaMeans } from "./exact/arena.ts";
import { abortable } from "../foundation/abortable.ts";
import { closeJob, prepareJob, type JobStarters, type PreparedJob } from "./job.ts";
import { LinkBroken } from "./ring/link.ts";
import { joinRing, type RingReach, type RingServer } from "./ring/ring.ts";
import { Interrupted, type Directive } from "./session/directive-queue.ts";
import type { Session } from "./session/session.ts";
import { StateCopies } from "./state-copies.ts";
import { loadReceived, receiveState } from "./state-transfer.ts";
import { StepProfiler } from "./profile/step-profiler.ts";
import { reduceStep } from "./step.ts";
import { shareFor, TrainingMeansMaker } from "./training-means.ts";
import type { WorkerObserver } from "./worker-observer.ts";
import { generationOf, jobOf, placeOf, type RingPlace, type WorkerState } from "./worker-state.ts";

/** A directive that there is something to do for. */
type Work = Exclude<Directive, { case: "finish" }>;

/** What the worker lives with. */
export interface WorkerMeans {
  readonly session: Session;
  readonly ringServer: RingServer;
  readonly starters: JobStarters;
  readonly reach: RingReach;
  /** What gradients are summed with. */
  readonly arenaMeans?: ArenaMeans;
  readonly observer: WorkerObserver;
  /** Takes the commands that come with a step, before it begins. */
  readonly onCommands: (step: number, commands: readonly ControlCommand[]) => void;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
}

/** One worker, from Join to Finish. */
export class WorkerLife {
  readonly #means: WorkerMeans;
  #state: WorkerState = { kind: "joined" };
  /** What is uploaded and hashed while steps go on. */
  readonly #copies = new StateCopies();
  #applied: AppliedStep = { updateMs: 0, gatheredWeights: 0n };
  readonly #training: TrainingMeansMaker;
  readonly #profiler: StepProfiler;

  constructor(means: WorkerMeans) {
    this.#means = means;
    this.#profiler = new StepProfiler(means.nowMs);
    this.#training = new TrainingMeansMaker(means.nowMs, means.arenaMeans);
  }

  /** Works until Finish; gives its reason. Rejects with SessionLost, BadInput, or what went wrong. */
  async run(): Promise<string> {
    const { session, observer } = this.#means;
    try {
      for await (const directive of session.directives) {
        this.#copies.throwIfFailed();
        observer.onDirective(directive);
        if (directive.case === "finish") return directive.value.reason;
        this.#state = await this.#carryOut(directive, session.directives.interruption);
        observer.onState(this.#state);
      }
      return "the coordinator has no more directives";
    } finally {
      this.#leave();
    }
  }

  /** An interruption or a broken neighbour ends the ring, not the worker. */
  async #carryOut(directive: Work, signal: AbortSignal): Promise<WorkerState> {
    try {
      return await this.#dispatch(directive, signal);
    } catch (error) {
      const job = jobOf(this.#state);
      const passes = error instanceof Interrupted || error instanceof LinkBroken;
      if (!passes) throw error;
      if (job === null) return this.#state;
      const generation = generationOf(this.#state);
      this.#leaveRing();
      return { kind: "ring-broken", job, generation, reason: error.message };
    }
  }

  #dispatch(directive: Work, signal: AbortSignal): Promise<WorkerState> {
    switch (directive.case) {
      case "prepare":
        return this.#prepare(directive.value, signal);
      case "formRing":
        return this.#formRing(directive.value, signal);
      case "runStep":
        return this.#runStep(directive.value, signal);
      case "commitStep":
        return this.#commitStep(directive.value, signal);
      case "evaluate":
        return this.#evaluate(directive.value, signal);
      case "checkpoint":
        return this.#checkpoint(directive.value, signal);
      case "hashWeights":
        return this.#hashWeights(directive.value, signal);
    }
  }

  async #prepare(prepare: Prepare, signal: AbortSignal): Promise<WorkerState> {
    if (this.#state.kind !== "joined")
      throw new Error("Cannot prepare as a job is prepared already");
    this.#means.observer.onActivity("preparing");
    const { job, prepared } = await prepareJob(prepare, this.#means.starters, signal);
    this.#means.observer.onActivity("waiting");
    await this.#means.session.report({ case: "prepared", value: prepared });
    return { kind: "prepared", job };
  }

  async #formRing(formRing: FormRing, signal: AbortSignal): Promise<WorkerState> {
    const job = this.#job();
    const { generation, rank, members } = formRing;
    if (generation <= generationOf(this.#state)) return this.#state;
    const { session, ringServer, observer, reach } = this.#means;
    this.#leaveRing();
    observer.onActivity("joining ring");
    if (formRing.loadState) {
      const share = shareFor(job, formRing);
      const state = await receiveState(session.readState(generation, signal), job.table, share);
      await this.#copies.beforeChange(signal);
      await abortable(loadReceived(job.engine, state), signal);
    }
    const { identity, ringKey } = session.membership;
    // From here on the ring's generation counts, whatever becomes of the ring.
    this.#state = { kind: "ring-broken", job, generation, reason: "the ring is being formed" };
    this.#applied = { ...this.#applied, gatheredWeights: 0n };
    const training = job.training ? this.#training.open(job, formRing, session) : null;
    try {
      const ring = await joinRing(ringServer, {
        run: identity.run,
        generation,
        rank,
        members,
        ringKey,
        signal,
        ...reach,
        onRound: (agoMs) => this.#profiler.recorder?.round(agoMs),
      });
      this.#state = { kind: "in-ring", job, place: { ring, training } };
    } catch (error) {
      training?.feed.close();
      throw error;
    }
    observer.onState(this.#state);
    observer.onActivity("waiting");
    await session.report({ case: "ringReady", value: create(RingReadySchema) });
    return this.#state;
  }

  async #runStep(runStep: RunStep, signal: AbortSignal): Promise<WorkerState> {
    const place = this.#placeOfGeneration(runStep.generation);
    if (place === null) return this.#state;
    const job = this.#job();
    const { observer, session, nowMs } = this.#means;
    if (place.training === null) throw new Error("Cannot run a step as the job does not train");
    this.#means.onCommands(Number(runStep.step), runStep.commands);
    await this.#profiler.begin(runStep, job.engine, signal);
    const { recorder } = this.#profiler;
    const reduced = await reduceStep(
      runStep,
      {
        engine: job.engine,
        phases: job.phases,
        microbatchesPerStep: job.microbatchesPerStep,
        seed: job.seed,
        gradientBuckets: job.gradientBuckets,
        ring: place.ring,
        ...place.training,
        nowMs,
        recorder,
        onActivity: (activity) => observer.onActivity(activity),
        lastApplied: this.#applied,
      },
      signal,
    );
    observer.onActivity("waiting");
    observer.onStepReduced(reduced);
    await session.report({ case: "stepReduced", value: reduced });
    recorder?.reduced();
    return { kind: "reduced", job, place, step: runStep.step, attempt: runStep.attempt };
  }

  async #commitStep(commit: CommitStep, signal: AbortSignal): Promise<WorkerState> {
    const place = this.#placeOfGeneration(commit.generation);
    if (place === null) return this.#state;
    const { step, attempt, learningRate } = commit;
    const held = this.#state.kind === "reduced" ? this.#state : null;
    if (held?.step !== step || held.attempt !== attempt) {
      const found = held === null ? this.#state.kind : `step ${held.step}, ${held.attempt}`;
      throw new Error(`Cannot apply step ${step}, attempt ${attempt} as the state is ${found}`);
    }
    const { observer, session, nowMs } = this.#means;
    const job = this.#job();
    const commitMs = nowMs();
    // What is copied of the state is that of the step before.
    await this.#copies.beforeChange(signal);
    observer.onActivity("update");
    this.#applied = await applyStep(commit, { job, place }, signal);
    const { updateMs } = this.#applied;
    this.#profiler.recorder?.applied(commitMs);
    observer.onActivity("waiting");
    observer.onStepApplied(Number(step), learningRate, updateMs);
    const value = create(StepAppliedSchema, { step, updateMs });
    await session.report({ case: "stepApplied", value });
    const input = { log: job.input.log, batches: place.training?.feed.taken ?? new Map() };
    const profile = await this.#profiler.finish(job.engine, input, signal);
    if (profile !== null) await session.report({ case: "stepProfiled", value: profile });
    return { kind: "in-ring", job, place };
  }

  async #evaluate(evaluate: Evaluate, signal: AbortSignal): Promise<WorkerState> {
    const job = this.#job();
    const { session, observer } = this.#means;
    observer.onActivity("evaluate");
    await evaluateSplit(evaluate, { job, session, generation: generationOf(this.#state) }, signal);
    observer.onActivity("waiting");
    return this.#state;
  }

  async #checkpoint(directive: Checkpoint, signal: AbortSignal): Promise<WorkerState> {
    const { session, observer } = this.#means;
    observer.onActivity("checkpoint");
    await this.#copies.upload(directive, { job: this.#job(), session }, signal);
    observer.onActivity("waiting");
    return this.#state;
  }

  async #hashWeights(directive: HashWeights, signal: AbortSignal): Promise<WorkerState> {
    const training = this.#placeOfGeneration(directive.generation)?.training ?? null;
    if (training === null) return this.#state;
    const { session } = this.#means;
    await this.#copies.hash(directive, { job: this.#job(), session }, signal);
    return this.#state;
  }

  #job(): PreparedJob {
    const job = jobOf(this.#state);
    if (job === null) throw new Error("Cannot carry out a directive as no job is prepared");
    return job;
  }

  /** The place that a directive concerns; null when it is of another generation and to be dropped. */
  #placeOfGeneration(generation: bigint): RingPlace | null {
    const place = placeOf(this.#state);
    return place !== null && place.ring.generation === generation ? place : null;
  }

  #leaveRing(): void {
    const place = placeOf(this.#state);
    place?.training?.feed.close();
    // Closing is immediate; there is nothing to wait for.
    void place?.ring.close();
  }

  #leave(): void {
    this.#copies.leave();
    this.#leaveRing();
  }

  /** Ends the threads of the job; after `run`. */
  async close(): Promise<void> {
    const job = jobOf(this.#state);
    if (job === null) return;
    // The engine's memory is not to go while it is copied.
    await this.#copies.close();
    await closeJob(job);
  }
}
