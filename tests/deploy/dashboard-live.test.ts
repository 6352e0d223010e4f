/**
 * A run's page, scraped by a real Prometheus, answers every query of the dashboard.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { Telemetry } from "../../coordinator/telemetry/telemetry.ts";
import { StepReducedSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { WorkerTelemetry } from "../../worker/telemetry/worker-telemetry.ts";
import { skipWithout, works } from "../support/needed-tool.ts";
import { readDashboard, startPrometheus } from "../support/prometheus.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const dashboard = await readDashboard(join(root, "deploy/grafana/dashboards/ringmaster.json"));
const options = { skip: skipWithout(works("prometheus", ["--version"]), "prometheus") };

/** A query as Grafana sends it. */
function filledIn(expression: string, run: string): string {
  return expression.replaceAll("$run", run).replaceAll("$__rate_interval", "10s");
}

describe("dashboard on a real Prometheus", options, () => {
  it("counts nothing twice though coordinator and worker are both scraped", async (t) => {
    const run = "r";
    const coordinator = new Telemetry({ run });
    const worker = new WorkerTelemetry();
    worker.joined({ run, worker: "worker-0" });
    const pages = [
      await coordinator.serve("127.0.0.1:0"),
      await worker.serve("127.0.0.1:0", "--metrics-listen"),
    ];
    t.after(() => Promise.all(pages.map((page) => page.close())));
    const [own, other] = pages;
    assert.ok(own !== undefined && other !== undefined);
    const prometheus = await startPrometheus({
      ringmaster: [own.address],
      "ringmaster-worker": [other.address],
    });
    t.after(() => prometheus.stop());

    const report = create(StepReducedSchema, { samples: 10, timings: { computeMs: 5 } });
    const panel = dashboard.panels.find(({ title }) => title === "Samples per second");
    const rate = panel?.targets[0]?.expr ?? "";
    let seen = 0;
    for (let steps = 0; steps < 600 && !(seen > 0 && steps > 80); steps += 1) {
      worker.stepReduced(report);
      coordinator.workerReported("worker-0", report, 0);
      await sleep(50);
      seen = (await prometheus.query(filledIn(rate, run)))[0]?.value ?? 0;
    }
    // 10 samples every 50 ms and a bit are at most 200 a second; both pages added up would be nearly 400.
    assert.ok(seen > 0 && seen <= 220, String(seen));
    const pagesUp = await prometheus.query("up");
    assert.deepEqual(
      pagesUp.map(({ value }) => value),
      [1, 1],
    );
  });
});
