/**
 * What a worker measures of its steps, as metrics: on the worker's own page, and on the coordinator's page for every worker
 * that reports. Both are fed with the same StepReduced.
 */
import type { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { StepReduced } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { metrics, stepPhases } from "../../proto/metric-names.ts";
import { counterOf, gaugeOf, histogramOf } from "./metric-families.ts";

/** Transports that the label may name; a report with another word counts as `other`, so that no peer makes up labels. */
const transports = new Set(["grpc", "shm", "none"]);

/** The metrics of workers' steps. */
export class StepMetrics {
  readonly #duration: Histogram;
  readonly #samples: Counter;
  readonly #tokens: Counter;
  readonly #paddedTokens: Counter;
  readonly #truncatedSamples: Counter;
  readonly #exchangeBytes: Counter;
  readonly #residentMemory: Gauge;

  constructor(registry: Registry) {
    this.#duration = histogramOf(registry, metrics.stepDuration);
    this.#samples = counterOf(registry, metrics.samples);
    this.#tokens = counterOf(registry, metrics.tokens);
    this.#paddedTokens = counterOf(registry, metrics.paddedTokens);
    this.#truncatedSamples = counterOf(registry, metrics.truncatedSamples);
    this.#exchangeBytes = counterOf(registry, metrics.exchangeBytes);
    this.#residentMemory = gaugeOf(registry, metrics.workerResidentMemory);
  }

  /** Counts one step of one worker. Times that are no times (negative, not finite) are left out. */
  observe(worker: string, report: StepReduced): void {
    const { timings } = report;
    if (timings !== undefined) {
      const { dataMs: data, computeMs: compute, exchangeMs: exchange, updateMs: update } = timings;
      const ms = { data, compute, exchange, update };
      for (const phase of stepPhases) {
        if (ms[phase] >= 0 && Number.isFinite(ms[phase])) {
          this.#duration.observe({ worker, phase }, ms[phase] / 1000);
        }
      }
    }
    this.#samples.inc({ worker }, report.samples);
    this.#tokens.inc({ worker }, Number(report.tokens));
    this.#paddedTokens.inc({ worker }, Number(report.paddedTokens));
    this.#truncatedSamples.inc({ worker }, report.truncatedSamples);
    const transport = transports.has(report.transport) ? report.transport : "other";
    const bytes = { sent: report.exchangeBytesSent, received: report.exchangeBytesReceived };
    for (const direction of ["sent", "received"] as const) {
      this.#exchangeBytes.inc({ worker, direction, transport }, Number(bytes[direction]));
    }
  }

  /** Sets a worker's resident memory in bytes. */
  residentMemory(worker: string, bytes: number): void {
    this.#residentMemory.set({ worker }, bytes);
  }

  /** A worker has left: what it counted stays, its memory is nobody's. */
  forget(worker: string): void {
    this.#residentMemory.remove({ worker });
  }
}
