/**
 * The coordinator's page: the run as a whole, and every worker from its reports, so that one scrape target is enough.
 */
import {
  collectDefaultMetrics,
  Registry,
  type Counter,
  type Gauge,
  type Histogram,
} from "prom-client";
import {
  serveMetrics,
  type MetricsServer,
  type Readiness,
} from "../../foundation/telemetry/metrics-server.ts";
import { counterOf, gaugeOf, histogramOf } from "../../foundation/telemetry/metric-families.ts";
import { StepMetrics } from "../../foundation/telemetry/step-metrics.ts";
import type { StepReduced } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { metrics } from "../../proto/metric-names.ts";
import type { BusState } from "../nats/bus.ts";
import { controlVerbs, isControlVerb } from "../../proto/subjects.ts";

/** A step that is recorded as committed. */
export interface CommittedStep {
  readonly step: number;
  /** Epochs done, as a fraction. */
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly gradNorm: number;
  /** Time since the last commit in milliseconds; null for the first step after a start, a pause or a new ring. */
  readonly stepMs: number | null;
  /** Factor of the loss of the next step; null but in half precision, where it counts as 1. */
  readonly lossScale: number | null;
}

/** The workers as the coordinator sees them; its roster. */
export interface WorkersSeen {
  /** `lastHeardMs` by the clock's `nowMs`. */
  members(): readonly { readonly workerId: string; readonly lastHeardMs: number }[];
  /** What the last heartbeat said. */
  statusOf(workerId: string): { readonly residentBytes: number } | null;
}

/** Time of day, and milliseconds of a clock that only goes forward. */
export interface WallClock {
  readonly now: () => Date;
  readonly nowMs: () => number;
}

/** The metrics of one run. */
export class Telemetry {
  readonly registry = new Registry();
  readonly #steps = new StepMetrics(this.registry);
  readonly #gauges: Readonly<Record<GaugeKey, Gauge>>;
  readonly #counters: Readonly<Record<CounterKey, Counter>>;
  readonly #stepInterval: Histogram;
  #readiness: Readiness = { ready: false, reason: "starting" };
  #busState: (() => BusState) | null = null;
  #eventsDropped = 0;
  #workers: { readonly roster: WorkersSeen; readonly clock: WallClock } | null = null;

  constructor(options: { readonly run: string }) {
    const { registry } = this;
    registry.setDefaultLabels({ run: options.run });
    collectDefaultMetrics({ register: registry });
    this.#gauges = gaugesIn(registry);
    this.#counters = countersIn(registry);
    this.#stepInterval = histogramOf(registry, metrics.stepInterval);
    for (const verb of controlVerbs) this.#counters.commands.inc({ verb, outcome: "accepted" }, 0);
  }

  /** What `/readyz` says from now on: ready once workers can join. */
  set readiness(readiness: Readiness) {
    this.#readiness = readiness;
  }

  /** The plan is made. */
  planned(totalSteps: number): void {
    this.#gauges.totalSteps.set(totalSteps);
  }

  /** A ring was formed. */
  ringFormed(ring: { readonly generation: number; readonly worldSize: number }): void {
    this.#gauges.generation.set(ring.generation);
    this.#gauges.worldSize.set(ring.worldSize);
  }

  /** A step is committed. */
  stepCommitted(committed: CommittedStep): void {
    const gauges = this.#gauges;
    gauges.step.set(committed.step);
    gauges.epoch.set(committed.epoch);
    gauges.trainLoss.set(committed.loss);
    gauges.learningRate.set(committed.learningRate);
    gauges.gradNorm.set(committed.gradNorm);
    this.#counters.stepsCommitted.inc();
    gauges.lossScale.set(committed.lossScale ?? 1);
    if (committed.stepMs !== null) this.#stepInterval.observe(committed.stepMs / 1000);
  }

  /** A step went by without an update. */
  stepSkipped(skipped: {
    readonly step: number;
    readonly epoch: number;
    readonly lossScale: number;
  }): void {
    const gauges = this.#gauges;
    gauges.step.set(skipped.step);
    gauges.epoch.set(skipped.epoch);
    gauges.lossScale.set(skipped.lossScale);
    this.#counters.stepsSkipped.inc();
  }

  /** A step is attempted once more. */
  stepRedone(): void {
    this.#counters.stepsRedone.inc();
  }

  /** A worker reported a step. */
  workerReported(worker: string, report: StepReduced): void {
    this.#steps.observe(worker, report);
  }

  /** A worker joined; an incarnation above 1 counts as a restart. */
  workerJoined(worker: string, incarnation: number): void {
    this.#counters.workerRestarts.inc({ worker }, incarnation > 1 ? 1 : 0);
  }

  /** A worker left or was lost. */
  workerLeft(worker: string): void {
    this.#steps.forget(worker);
    this.#gauges.workerLastReport.remove({ worker });
  }

  /** An evaluation is complete; metrics by name (`loss`, `accuracy`, …). */
  evaluation(done: {
    readonly split: string;
    readonly metrics: Readonly<Record<string, number>>;
  }): void {
    for (const [metric, value] of Object.entries(done.metrics)) {
      this.#gauges.evalMetric.set({ metric, split: done.split }, value);
    }
  }

  /** A checkpoint is on disk since Unix time `seconds`. */
  checkpointWritten(seconds: number): void {
    this.#gauges.checkpointLastSuccess.set(seconds);
  }

  /** A control command was answered. */
  commandAnswered(answer: { readonly accepted: boolean; readonly verb: string }): void {
    const verb = isControlVerb(answer.verb) ? answer.verb : "unknown";
    this.#counters.commands.inc({ verb, outcome: answer.accepted ? "accepted" : "refused" });
  }

  /** Shows from now on what the bus knows of itself, as it is at each scrape. */
  followBus(state: () => BusState): void {
    this.#busState = state;
  }

  /** Shows from now on memory and last sign of life of each worker, as they are at each scrape. */
  followWorkers(roster: WorkersSeen, clock: WallClock): void {
    this.#workers = { roster, clock };
  }

  /** Serves the page. `listen` is host:port. Throws BadInput for a port in use, naming `flag`. */
  async serve(listen: string, flag = "--metrics-listen"): Promise<MetricsServer> {
    const { registry } = this;
    const readiness = (): Readiness => this.#readiness;
    const refresh = (): void => {
      this.#showBus();
      this.#showWorkers();
    };
    return await serveMetrics({ registry, listen, flag, readiness, refresh });
  }

  #showBus(): void {
    const state = this.#busState?.();
    if (state === undefined) return;
    this.#gauges.natsConnected.set(state.connected ? 1 : 0);
    this.#gauges.eventsWaiting.set(state.eventsWaiting);
    this.#counters.eventsDropped.inc(state.eventsDropped - this.#eventsDropped);
    this.#eventsDropped = state.eventsDropped;
  }

  #showWorkers(): void {
    if (this.#workers === null) return;
    const { roster, clock } = this.#workers;
    for (const { workerId: worker, lastHeardMs } of roster.members()) {
      const silenceMs = clock.nowMs() - lastHeardMs;
      this.#gauges.workerLastReport.set({ worker }, (clock.now().getTime() - silenceMs) / 1000);
      const bytes = roster.statusOf(worker)?.residentBytes ?? 0;
      if (bytes > 0) this.#steps.residentMemory(worker, bytes);
    }
  }
}

type GaugeKey = keyof ReturnType<typeof gaugesIn>;
type CounterKey = keyof ReturnType<typeof countersIn>;

function gaugesIn(registry: Registry) {
  return {
    totalSteps: gaugeOf(registry, metrics.totalSteps),
    generation: gaugeOf(registry, metrics.generation),
    worldSize: gaugeOf(registry, metrics.worldSize),
    step: gaugeOf(registry, metrics.step),
    epoch: gaugeOf(registry, metrics.epoch),
    trainLoss: gaugeOf(registry, metrics.trainLoss),
    learningRate: gaugeOf(registry, metrics.learningRate),
    gradNorm: gaugeOf(registry, metrics.gradNorm),
    lossScale: gaugeOf(registry, metrics.lossScale),
    workerLastReport: gaugeOf(registry, metrics.workerLastReport),
    evalMetric: gaugeOf(registry, metrics.evalMetric),
    checkpointLastSuccess: gaugeOf(registry, metrics.checkpointLastSuccess),
    natsConnected: gaugeOf(registry, metrics.natsConnected),
    eventsWaiting: gaugeOf(registry, metrics.eventsWaiting),
  } as const;
}

function countersIn(registry: Registry) {
  return {
    stepsCommitted: counterOf(registry, metrics.stepsCommitted),
    stepsRedone: counterOf(registry, metrics.stepsRedone),
    stepsSkipped: counterOf(registry, metrics.stepsSkipped),
    workerRestarts: counterOf(registry, metrics.workerRestarts),
    eventsDropped: counterOf(registry, metrics.eventsDropped),
    commands: counterOf(registry, metrics.commands),
  } as const;
}
