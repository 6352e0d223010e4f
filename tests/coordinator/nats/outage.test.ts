/**
 * A real job with NATS away: training goes on, the events of the outage are kept and arrive in order, commands act again
 * once the server is back, each once on every worker.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { sendControl } from "../../../coordinator/nats/control-client.ts";
import { freePort } from "../../support/prometheus.ts";
import { writeTinyJob } from "../../support/tiny-job.ts";
import { clientAt, replay } from "./bus-stage.ts";
import { natsPrograms, startForeignServer } from "./nats-servers.ts";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const run = "outage";

const [, { file } = { file: null }] = await natsPrograms();

describe("a job while NATS is away", () => {
  it("goes on, loses no event, and takes commands again afterwards", async (t) => {
    assert.ok(file);
    const folder = await mkdtemp(join(tmpdir(), "ringmaster-outage-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const nats = await startForeignServer(t, file, { jetstream: true });
    await writeFile(join(folder, "job.yaml"), await writeTinyJob(folder));
    const output = join(folder, run);
    const metrics = `127.0.0.1:${await freePort()}`;
    const coordinator = spawn(
      process.execPath,
      [join(root, "coordinator/bin.mjs"), join(folder, "job.yaml")].concat(
        ["--workers", "2", "--output-dir", output],
        ["--nats", nats.url, "--metrics-listen", metrics],
      ),
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let log = "";
    coordinator.stdout.on("data", (data: Buffer) => (log += data.toString()));
    coordinator.stderr.on("data", (data: Buffer) => (log += data.toString()));
    const exited = once(coordinator, "exit");
    t.after(() => coordinator.kill("SIGKILL"));

    const figure = async (metric: string): Promise<number> => {
      assert.equal(coordinator.exitCode, null, log);
      const page = await fetch(`http://${metrics}/metrics`).then(
        (response) => response.text(),
        () => "",
      );
      const found = new RegExp(`^${metric}\\{[^}]*\\} (\\S+)$`, "m").exec(page)?.[1];
      return found === undefined ? -1 : Number(found);
    };
    const reaches = async (metric: string, holds: (value: number) => boolean): Promise<number> => {
      for (;;) {
        const value = await figure(metric);
        if (value >= 0 && holds(value)) return value;
        await sleep(50);
      }
    };

    await reaches("ringmaster_step", (step) => step >= 5);
    await nats.kill();
    await reaches("ringmaster_nats_connected", (connected) => connected === 0);
    const atOutage = await figure("ringmaster_step");
    await reaches("ringmaster_step", (step) => step >= atOutage + 25);
    assert.ok((await figure("ringmaster_events_waiting")) >= 25);
    nats.start();
    await reaches("ringmaster_nats_connected", (connected) => connected === 1);
    await reaches("ringmaster_events_waiting", (waiting) => waiting < 25);

    const ask = { url: nats.url, run };
    const rate = await sendControl({
      ...ask,
      verb: "set-learning-rate",
      value: 1e-6,
      id: "rate",
    });
    assert.equal(rate.accepted, true);
    const inEffect = rate.accepted ? rate.step : 0;
    await reaches("ringmaster_step", (step) => step >= inEffect + 2);
    const rateNow = await figure("ringmaster_learning_rate");
    assert.ok(rateNow > 0.99e-6 && rateNow <= 1e-6, String(rateNow));
    assert.equal((await sendControl({ ...ask, verb: "stop" })).accepted, true);
    const [code] = (await exited) as [number | null];
    assert.equal(code, 0, log);

    const text = await readFile(join(output, "events.jsonl"), "utf8");
    const kept = text.trimEnd().split("\n");
    const events = await replay(await clientAt(t, nats.url), run);
    assert.deepEqual(
      events.map((event) => JSON.stringify(event)),
      kept,
    );
    for (const worker of ["worker-0", "worker-1"]) {
      const lines = (await readFile(join(output, "logs", `${worker}.log`), "utf8")).split("\n");
      const acted = lines.filter(
        (line) => line.includes("command in effect") && line.includes(`"rate"`),
      );
      assert.equal(acted.length, 1, worker);
      assert.ok(acted[0]?.includes(`"step":${inEffect}`), acted[0]);
    }
  });
});
