/**
 * How far a run has come: what its history, its resume point and its last line are made from. One writer, the training
 * loop.
 */
import type { JobSettings } from "../../foundation/job/settings.ts";
import type { ResumePoint } from "../checkpoint/checkpoint-folder.ts";
import { noStanding, scoreOf, stand } from "./best-model.ts";
import type { Score, Standing } from "./best-model.ts";
import type { EvaluationResult } from "./evaluation.ts";
import { firstLossScale, grown } from "./loss-scale.ts";
import type { LossScale } from "./loss-scale.ts";
import type { RateChange } from "./learning-rate.ts";
import { evaluationEntry, summaryEntry, trainerState, trainingEntry } from "./trainer-state.ts";
import type { LogEntry } from "./trainer-state.ts";
import type { TrainingPlan } from "./training-plan.ts";

/** A committed step, as far as history goes. */
export interface StepFacts {
  readonly step: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly samples: number;
}

/** What stays the same all through a run. */
export interface RunFacts {
  readonly run: string;
  readonly settings: JobSettings;
  readonly plan: TrainingPlan;
  readonly trainSize: number;
  readonly tableVersion: string;
}

interface Mean {
  sum: number;
  count: number;
}

/** The state of a run's history. */
export class Progress {
  readonly #facts: RunFacts;
  #logHistory: LogEntry[] = [];
  #scores: Score[] = [];
  #sinceLog: Mean = { sum: 0, count: 0 };
  #all: Mean = { sum: 0, count: 0 };
  readonly #startedMs: number;
  readonly #secondsBefore: number;
  #standing: Standing = noStanding;
  #samples = 0;
  #step = 0;
  #lossScale: LossScale | null = null;
  /** The newest step that was not skipped; null before the first of this start. */
  #last: StepFacts | null = null;

  /** @param resumed where an earlier run has come to, or null */
  constructor(facts: RunFacts, resumed: ResumePoint | null, nowMs: number) {
    this.#facts = facts;
    this.#startedMs = nowMs;
    this.goBack(resumed);
    this.#secondsBefore = resumed?.seconds ?? 0;
  }

  /** Goes back to where a checkpoint has come, or with null to the start. */
  goBack(resumed: ResumePoint | null): void {
    this.#step = resumed?.step ?? 0;
    this.#logHistory = [...(resumed?.logHistory ?? [])];
    this.#scores = [...(resumed?.scores ?? [])];
    this.#standing = resumed?.standing ?? noStanding;
    this.#sinceLog = { ...(resumed?.losses.sinceLog ?? { sum: 0, count: 0 }) };
    this.#all = { ...(resumed?.losses.all ?? { sum: 0, count: 0 }) };
    this.#samples = resumed?.samples ?? 0;
    this.#lossScale = this.#facts.settings.fp16 ? (resumed?.lossScale ?? firstLossScale) : null;
    this.#last = null;
  }

  /** Last committed step. */
  get step(): number {
    return this.#step;
  }

  /** Of the next step, in half precision; otherwise null. */
  get lossScale(): LossScale | null {
    return this.#lossScale;
  }

  /** Epochs done, as a fraction. */
  get epoch(): number {
    return this.#facts.plan.epochsDone(this.#step);
  }

  /** Best evaluation, and how long ago. */
  get standing(): Standing {
    return this.#standing;
  }

  /** Deciding metric of every evaluation so far. */
  get scores(): readonly Score[] {
    return this.#scores;
  }

  /** Whether the evaluation that is due after a step has been made. */
  hasEvaluated(step: number): boolean {
    return this.#scores.some((score) => score.step === step);
  }

  /** Lines of the history. */
  get logHistory(): readonly LogEntry[] {
    return this.#logHistory;
  }

  /** Takes a committed step. */
  committed(facts: StepFacts): void {
    this.#step = facts.step;
    this.#last = facts;
    this.#samples += facts.samples;
    if (this.#lossScale !== null) this.#lossScale = grown(this.#lossScale);
    for (const mean of [this.#sinceLog, this.#all]) {
      mean.sum += facts.loss;
      mean.count++;
    }
  }

  /** Takes a step that was skipped. @param lossScale of the next step */
  skipped(step: number, samples: number, lossScale: LossScale): void {
    this.#step = step;
    this.#samples += samples;
    this.#lossScale = lossScale;
  }

  /** Writes the log line that is due after a step: the mean loss since the one before. None where all were skipped. */
  log(): void {
    if (this.#last === null || this.#sinceLog.count === 0) return;
    const { gradNorm, learningRate } = this.#last;
    const step = this.#step;
    const loss = this.#sinceLog.sum / this.#sinceLog.count;
    const { epoch } = this;
    this.#logHistory.push(trainingEntry({ step, epoch, loss, gradNorm, learningRate }));
    this.#sinceLog.sum = 0;
    this.#sinceLog.count = 0;
  }

  /** Takes an evaluation; one that was asked for by a command does not count for the best model. */
  evaluated(result: EvaluationResult, seconds: number, counts: boolean): LogEntry {
    const entry = evaluationEntry({ ...result, step: this.#step, epoch: this.epoch, seconds });
    this.#logHistory.push(entry);
    const value = scoreOf(result.metrics, this.#facts.settings);
    if (counts && value !== null) {
      const score = { step: this.#step, value };
      this.#scores.push(score);
      this.#standing = stand(this.#standing, score, this.#facts.settings);
    }
    return entry;
  }

  /** Writes the last line. */
  finished(nowMs: number): LogEntry {
    const entry = summaryEntry({
      step: this.#step,
      epoch: this.epoch,
      meanLoss: this.#all.count === 0 ? 0 : this.#all.sum / this.#all.count,
      samples: this.#samples,
      steps: this.#all.count,
      seconds: this.#seconds(nowMs),
    });
    this.#logHistory.push(entry);
    return entry;
  }

  /** What a checkpoint keeps of all this. */
  resumePoint(rateChanges: readonly RateChange[], nowMs: number): ResumePoint {
    const { run, plan, settings, trainSize, tableVersion } = this.#facts;
    const next = this.#step + 1;
    return {
      version: 1,
      run,
      step: this.#step,
      totalSteps: plan.totalSteps,
      trainSize,
      stepsPerEpoch: plan.stepsPerEpoch,
      sampler: {
        epoch: plan.epochOf(next),
        batch: (next - 1) % plan.stepsPerEpoch,
        seed: settings.seed,
      },
      tableVersion,
      rateChanges: [...rateChanges],
      scores: [...this.#scores],
      standing: this.#standing,
      logHistory: [...this.#logHistory],
      losses: { sinceLog: { ...this.#sinceLog }, all: { ...this.#all } },
      samples: this.#samples,
      seconds: this.#seconds(nowMs),
      lossScale: this.#lossScale,
    };
  }

  /** `trainer_state.json` as an object. @param bestCheckpoint folder of the best checkpoint, or null */
  trainerState(bestCheckpoint: string | null): unknown {
    return trainerState({
      settings: this.#facts.settings,
      step: this.#step,
      totalSteps: this.#facts.plan.totalSteps,
      epoch: this.epoch,
      standing: this.#standing,
      logHistory: [...this.#logHistory],
      bestCheckpoint,
    });
  }

  #seconds(nowMs: number): number {
    return this.#secondsBefore + (nowMs - this.#startedMs) / 1000;
  }
}
