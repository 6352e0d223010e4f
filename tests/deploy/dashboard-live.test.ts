/**
 * A run's page, scraped by a real Prometheus, answers every query of the dashboard.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { readControlAddress } from "../../coordinator/nats/control-address.ts";
import { sendControl } from "../../coordinator/nats/control-client.ts";
import { Telemetry } from "../../coordinator/telemetry/telemetry.ts";
import { StepReducedSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { WorkerTelemetry } from "../../worker/telemetry/worker-telemetry.ts";
import { skipWithout, works } from "../support/needed-tool.ts";
import { writeTinyJob } from "../support/tiny-job.ts";
import { freePort, readDashboard, startPrometheus } from "../support/prometheus.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const dashboard = await readDashboard(join(root, "deploy/grafana/dashboards/ringmaster.json"));
const options = { skip: skipWithout(works("prometheus", ["--version"]), "prometheus") };

/** A query as Grafana sends it. */
function filledIn(expression: string, run: string): string {
  return expression.replaceAll("$run", run).replaceAll("$__rate_interval", "10s");
}

describe("dashboard on a real Prometheus", options, () => {
  it("answers every query of every panel while a job goes on", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "ringmaster-dashboard-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const often = [
      "eval-strategy: steps",
      "eval-steps: 25",
      "save-strategy: steps",
      "save-steps: 50",
    ];
    const job = await writeTinyJob(folder, [...often, "save-total-limit: 1"]);
    await writeFile(join(folder, "job.yaml"), job);
    const run = "watched";
    const output = join(folder, run);
    const address = `127.0.0.1:${await freePort()}`;
    const coordinator = spawn(
      process.execPath,
      [join(root, "coordinator/bin.mjs"), join(folder, "job.yaml")].concat([
        "--workers",
        "2",
        "--output-dir",
        output,
        "--metrics-listen",
        address,
      ]),
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let log = "";
    coordinator.stdout.on("data", (data: Buffer) => (log += data.toString()));
    coordinator.stderr.on("data", (data: Buffer) => (log += data.toString()));
    const exited = once(coordinator, "exit");
    t.after(() => coordinator.kill("SIGKILL"));
    const prometheus = await startPrometheus({ ringmaster: [address] });
    t.after(() => prometheus.stop());

    const queries = dashboard.panels.flatMap(({ title, targets }) =>
      targets.map(({ expr }) => ({ title, query: filledIn(expr, run) })),
    );
    const unanswered = async (): Promise<string[]> => {
      const empty: string[] = [];
      for (const { title, query } of queries) {
        const series = await prometheus.query(query);
        if (!series.some(({ value }) => Number.isFinite(value))) empty.push(`${title}: ${query}`);
      }
      return empty;
    };
    let empty = await unanswered();
    for (let tries = 0; empty.length > 0 && tries < 240; tries += 1) {
      assert.equal(coordinator.exitCode, null, log);
      await sleep(1_000);
      empty = await unanswered();
    }
    assert.deepEqual(empty, [], log);
    const perWorker = await prometheus.query(
      `sum by (worker) (ringmaster_samples_total{run="${run}"})`,
    );
    assert.deepEqual(
      new Set(perWorker.map(({ labels }) => labels["worker"])),
      new Set(["worker-0", "worker-1"]),
    );

    const stop = await sendControl({ ...(await readControlAddress(output)), verb: "stop" });
    assert.equal(stop.accepted, true);
    const [code] = (await exited) as [number | null];
    assert.equal(code, 0, log);
  });

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
      coordinator.workerReported("worker-0", report);
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
