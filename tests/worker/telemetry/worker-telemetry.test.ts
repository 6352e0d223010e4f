/** A worker's own page, before and after it has joined. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { StepReducedSchema } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { metrics } from "../../../proto/metric-names.ts";
import { WorkerTelemetry } from "../../../worker/telemetry/worker-telemetry.ts";

describe("worker's telemetry", () => {
  it("serves a page before it knows its name, and names run and worker from then on", async (t) => {
    const telemetry = new WorkerTelemetry();
    const server = await telemetry.serve("127.0.0.1:0", "--metrics-listen");
    t.after(() => server.close());
    const get = async (path: string): Promise<string> =>
      await (await fetch(`http://${server.address}${path}`)).text();
    assert.equal(await get("/readyz"), "joining\n");

    telemetry.joined({ run: "r", worker: "worker-2" });
    telemetry.residentMemory(77);
    telemetry.stepReduced(
      create(StepReducedSchema, {
        samples: 8,
        tokens: 5n,
        transport: "grpc",
        timings: { computeMs: 20 },
      }),
    );
    telemetry.readiness = { ready: true, reason: "in the ring" };
    assert.equal(await get("/readyz"), "in the ring\n");
    const page = await get("/metrics");
    assert.match(page, /^ringmaster_samples_total\{worker="worker-2",run="r"\} 8$/m);
    assert.match(page, /^process_resident_memory_bytes\{run="r",worker="worker-2"\} \d+$/m);
    const marked = Object.values(metrics).filter((metric) => "worker" in metric);
    for (const { name } of marked) assert.match(page, new RegExp(`^${name}`, "m"));
    const own = [...page.matchAll(/^# TYPE (ringmaster_\w+)/gm)].map(([, name]) => name);
    assert.deepEqual(new Set(own), new Set(marked.map(({ name }) => name)));
  });
});
