/** The coordinator's page: what a run reports is what is scraped, under the names of the contract. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Telemetry } from "../../../coordinator/telemetry/telemetry.ts";
import { StepReducedSchema, type StepReduced } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { metrics } from "../../../proto/metric-names.ts";

function report(
  overrides: { readonly transport?: string; readonly dataMs?: number } = {},
): StepReduced {
  return create(StepReducedSchema, {
    step: 1n,
    samples: 8,
    tokens: 400n,
    paddedTokens: 512n,
    truncatedSamples: 1,
    exchangeBytesSent: 1_000n,
    exchangeBytesReceived: 2_000n,
    transport: overrides.transport ?? "shm",
    timings: { dataMs: overrides.dataMs ?? 1, computeMs: 250, exchangeMs: 30, updateMs: 9 },
  });
}

/** A sample's name with its labels in alphabetical order. */
function sorted(sample: string): string {
  const [, name = "", labels = ""] = /^(\w+)\{(.*)\}$/.exec(sample) ?? [];
  return `${name}{${labels.split(",").sort().join(",")}}`;
}

/** The page's samples, `name{labels}` → value. */
async function samples(telemetry: Telemetry): Promise<Map<string, number>> {
  const page = await telemetry.serve("127.0.0.1:0");
  // Twice: a counter that is set at each scrape must not add up.
  await fetch(`http://${page.address}/metrics`);
  const text = await (await fetch(`http://${page.address}/metrics`)).text();
  await page.close();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const blank = line.lastIndexOf(" ");
      return [sorted(line.slice(0, blank)), Number(line.slice(blank + 1))];
    }),
  );
}

function fed(members = [{ workerId: "worker-0", lastHeardMs: 4_000 }]): Telemetry {
  const telemetry = new Telemetry({ run: "r1" });
  telemetry.planned(100);
  telemetry.ringFormed({ generation: 2, worldSize: 4 });
  telemetry.workerJoined("worker-0", 1);
  telemetry.workerJoined("worker-1", 2);
  const roster = {
    members: () => members,
    statusOf: () => ({ residentBytes: 12_345 }),
  };
  telemetry.followWorkers(roster, { now: () => new Date(1_002_000), nowMs: () => 5_000 });
  telemetry.workerReported("worker-0", report());
  telemetry.workerReported("worker-0", report());
  telemetry.workerReported("worker-1", report({ transport: "grpc" }));
  telemetry.stepRedone();
  const step = { epoch: 0.5, loss: 0.7, learningRate: 2e-5, gradNorm: 1.5, lossScale: 32_768 };
  telemetry.stepCommitted({ ...step, step: 6, stepMs: null });
  telemetry.stepCommitted({ ...step, step: 7, stepMs: 1500 });
  telemetry.stepSkipped({ step: 8, epoch: 0.75, lossScale: 16_384 });
  telemetry.evaluation({ split: "validation", metrics: { loss: 0.4, accuracy: 0.9 } });
  telemetry.checkpointWritten(1234.5);
  telemetry.commandAnswered({ accepted: true, verb: "pause" });
  telemetry.commandAnswered({ accepted: false, verb: "no such\nthing" });
  const bus = { connected: true, history: "jetstream", eventsWaiting: 3 } as const;
  telemetry.followBus(() => ({ ...bus, eventsDropped: 4 }));
  return telemetry;
}

describe("coordinator's telemetry", () => {
  it("shows every figure under its name, with its run", async () => {
    const page = await samples(fed());
    const rows: [sample: string, value: number][] = [
      [`ringmaster_samples_total{worker="worker-0",run="r1"}`, 16],
      [`ringmaster_samples_total{worker="worker-1",run="r1"}`, 8],
      [`ringmaster_tokens_total{worker="worker-0",run="r1"}`, 800],
      [`ringmaster_padded_tokens_total{worker="worker-0",run="r1"}`, 1024],
      [`ringmaster_truncated_samples_total{worker="worker-0",run="r1"}`, 2],
      [
        `ringmaster_exchange_bytes_total{worker="worker-0",direction="sent",transport="shm",run="r1"}`,
        2000,
      ],
      [
        `ringmaster_exchange_bytes_total{worker="worker-1",direction="received",transport="grpc",run="r1"}`,
        2000,
      ],
      [`ringmaster_step_duration_seconds_sum{worker="worker-0",phase="compute",run="r1"}`, 0.5],
      [`ringmaster_step_duration_seconds_count{worker="worker-0",phase="data",run="r1"}`, 2],
      [`ringmaster_worker_resident_memory_bytes{worker="worker-0",run="r1"}`, 12_345],
      [`ringmaster_worker_last_report_timestamp_seconds{worker="worker-0",run="r1"}`, 1001],
      [`ringmaster_worker_restarts_total{worker="worker-0",run="r1"}`, 0],
      [`ringmaster_worker_restarts_total{worker="worker-1",run="r1"}`, 1],
      [`ringmaster_train_loss{run="r1"}`, 0.7],
      [`ringmaster_learning_rate{run="r1"}`, 2e-5],
      [`ringmaster_grad_norm{run="r1"}`, 1.5],
      [`ringmaster_loss_scale{run="r1"}`, 16_384],
      [`ringmaster_step{run="r1"}`, 8],
      [`ringmaster_epoch{run="r1"}`, 0.75],
      [`ringmaster_planned_steps{run="r1"}`, 100],
      [`ringmaster_world_size{run="r1"}`, 4],
      [`ringmaster_generation{run="r1"}`, 2],
      [`ringmaster_steps_committed_total{run="r1"}`, 2],
      [`ringmaster_steps_redone_total{run="r1"}`, 1],
      [`ringmaster_steps_skipped_total{run="r1"}`, 1],
      [`ringmaster_step_interval_seconds_count{run="r1"}`, 1],
      [`ringmaster_step_interval_seconds_sum{run="r1"}`, 1.5],
      [`ringmaster_eval_metric{metric="accuracy",split="validation",run="r1"}`, 0.9],
      [`ringmaster_checkpoint_last_success_timestamp_seconds{run="r1"}`, 1234.5],
      [`ringmaster_commands_total{verb="pause",outcome="accepted",run="r1"}`, 1],
      [`ringmaster_commands_total{verb="unknown",outcome="refused",run="r1"}`, 1],
      [`ringmaster_nats_connected{run="r1"}`, 1],
      [`ringmaster_events_waiting{run="r1"}`, 3],
      [`ringmaster_events_dropped_total{run="r1"}`, 4],
    ];
    for (const [sample, value] of rows) assert.equal(page.get(sorted(sample)), value, sample);
    const covered = new Set(rows.map(([sample]) => sample.replace(/(_sum|_count)?\{.*/, "")));
    const missed = Object.values(metrics).filter(({ name }) => !covered.has(name));
    assert.deepEqual(missed, [], "every metric of the contract is tested");
  });

  it("shows no loss, norm or checkpoint before there is one, and counters from 0", async () => {
    const names = [...(await samples(new Telemetry({ run: "r" }))).keys()];
    assert.ok(
      !names.some((name) =>
        /train_loss|grad_norm|loss_scale|checkpoint_last|world_size/.test(name),
      ),
    );
    assert.ok(names.includes(`ringmaster_steps_committed_total{run="r"}`));
    assert.ok(names.some((name) => name.startsWith("process_resident_memory_bytes")));
  });

  it("takes no label and no time from a peer that makes them up", async () => {
    const telemetry = new Telemetry({ run: "r" });
    telemetry.workerReported("w", report({ transport: "pigeon", dataMs: -1 }));
    telemetry.workerReported("w", report({ dataMs: Number.NaN }));
    const page = await samples(telemetry);
    const sent = `ringmaster_exchange_bytes_total{worker="w",direction="sent",transport="other",run="r"}`;
    assert.equal(page.get(sorted(sent)), 1000);
    const counts = [...page].filter(([name]) => name.includes("duration_seconds_count"));
    assert.deepEqual(
      counts.map(([name, count]) => [/phase="(\w+)"/.exec(name)?.[1], count]),
      [
        ["compute", 2],
        ["exchange", 2],
        ["update", 2],
      ],
    );
  });

  it("forgets the memory of a worker that left, not what it counted", async () => {
    const members = [{ workerId: "worker-0", lastHeardMs: 0 }];
    const telemetry = fed(members);
    assert.match([...(await samples(telemetry)).keys()].join("\n"), /resident.*worker-0/);
    members.pop();
    telemetry.workerLeft("worker-0");
    const names = [...(await samples(telemetry)).keys()];
    assert.ok(!names.some((name) => /(resident|last_report).*worker-0/.test(name)));
    assert.ok(names.some((name) => /samples_total.*worker-0/.test(name)));
  });
});
