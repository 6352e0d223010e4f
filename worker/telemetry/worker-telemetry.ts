/**
 * A worker's own page. It is served before the worker has joined, for the join names its address; run and worker are on
 * every metric as soon as they are known.
 */
import { collectDefaultMetrics, Registry } from "prom-client";
import {
  serveMetrics,
  type MetricsServer,
  type Readiness,
} from "../../foundation/telemetry/metrics-server.ts";
import { StepMetrics } from "../../foundation/telemetry/step-metrics.ts";
import type { StepReduced } from "../../proto/gen/ringmaster/v1/run_pb.ts";

/** The metrics of one worker process. */
export class WorkerTelemetry {
  readonly registry = new Registry();
  readonly #steps = new StepMetrics(this.registry);
  #worker = "";
  #readiness: Readiness = { ready: false, reason: "joining" };

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** The worker has a place in a run. */
  joined(identity: { readonly run: string; readonly worker: string }): void {
    this.#worker = identity.worker;
    this.registry.setDefaultLabels({ run: identity.run, worker: identity.worker });
    this.#readiness = { ready: false, reason: "preparing" };
  }

  /** What `/readyz` says from now on: ready while the worker is in a ring, else the reason. */
  set readiness(readiness: Readiness) {
    this.#readiness = readiness;
  }

  /** Counts a step, with what is reported to the coordinator. */
  stepReduced(report: StepReduced): void {
    this.#steps.observe(this.#worker, report);
  }

  /** Sets resident memory in bytes, as the heartbeat reports it. */
  residentMemory(bytes: number): void {
    this.#steps.residentMemory(this.#worker, bytes);
  }

  /** Serves the page. `listen` is host:port, `flag` names where it came from. Throws BadInput for a port in use. */
  async serve(listen: string, flag: string): Promise<MetricsServer> {
    const { registry } = this;
    return await serveMetrics({ registry, listen, flag, readiness: () => this.#readiness });
  }
}
