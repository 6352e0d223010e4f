/**
 * The wiring of the manifests, proved without a cluster: their own commands and environment on separate hosts (network
 * namespaces) that meet over the network only. A real tiny job trains there, is watched and steered from another host.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { kubernetesDefaults } from "../../coordinator/kubernetes/kubernetes-options.ts";
import { manifestsFor } from "../../coordinator/kubernetes/manifests.ts";
import { ensureNativeParts } from "../../foundation/native/native-parts.ts";
import { skipWithout } from "../support/needed-tool.ts";
import { createNetwork, networksPermitted, type NetworkHost } from "../support/network-hosts.ts";
import { argumentsOf, containerIn, environmentOf, type PodPlace } from "../support/pod.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const options = { skip: skipWithout(networksPermitted(), "permission for network namespaces") };
const run = "tiny";
const secrets = { "join-token": "s".repeat(32), "nats-password": "secret-of-nats" };

/** A process whose output can be looked at. */
interface Started {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly output: () => string;
}

function watched(child: ChildProcess): Started {
  let text = "";
  child.stdout?.on("data", (data: Buffer) => (text += data.toString()));
  child.stderr?.on("data", (data: Buffer) => (text += data.toString()));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  return { child, exited, output: () => text };
}

async function prepared(t: TestContext): Promise<{ folder: string; jobFile: string }> {
  const folder = await mkdtemp(join(tmpdir(), "ringmaster-hosts-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const name of ["job", "output", "nats", "store"]) await mkdir(join(folder, name));
  // Over a network is where narrow integers travel.
  const wire = "gradient-wire: int16";
  const jobFile = await writeTinyJob(folder, ["eval-strategy: no", "save-strategy: no", wire]);
  await writeFile(join(folder, "job/job.yaml"), jobFile);
  return { folder, jobFile };
}

describe("manifests on separate hosts", options, () => {
  it("a job trains over the network, is scraped and stopped from another host", async (t) => {
    const native = await ensureNativeParts({
      env: process.env,
      device: "cpu",
      progress: { begin: () => ({ advance: () => undefined, end: () => undefined }) },
      signal: new AbortController().signal,
    });
    const { folder, jobFile } = await prepared(t);
    const files = manifestsFor(jobFile, {
      ...kubernetesDefaults,
      name: run,
      workers: 2,
      workerCores: 1,
    });
    const network = createNetwork(["lead", "broker", "left", "right", "desk"], {
      [`${run}-coordinator`]: "lead",
      [`${run}-nats`]: "broker",
    });
    t.after(() => network.remove());
    const [lead, broker, left, right, desk] = network.hosts;
    assert.ok(lead && broker && left && right && desk);

    const paths = {
      "/opt/ringmaster": root,
      "/etc/ringmaster": join(folder, "job"),
      "/etc/nats": join(folder, "nats"),
      "/var/lib/nats": join(folder, "store"),
      "/output": join(folder, "output"),
    };
    const placeOf = (host: NetworkHost): PodPlace => ({ address: host.address, secrets, paths });
    const start = (host: NetworkHost, file: string, program: string): Started => {
      const container = containerIn(files, file);
      const env = { ...process.env, ...environmentOf(container, placeOf(host)) };
      return watched(host.start(program, argumentsOf(container, placeOf(host)), { env }));
    };

    const natsConfig = files.find(({ name }) => name === "nats.conf")?.text ?? "";
    await writeFile(
      join(folder, "nats/nats.conf"),
      natsConfig.replace("/var/lib/nats", join(folder, "store")),
    );
    start(broker, "nats.yaml", native.natsServerFile);
    const coordinator = start(lead, "coordinator.yaml", process.execPath);
    const workers = [left, right].map((host) => start(host, "workers.yaml", process.execPath));
    const everything = (): string =>
      [coordinator, ...workers].map(({ output }) => output()).join("\n--\n");

    // Another host looks at the pages until steps are committed and gradients travel by gRPC.
    const fetchIt = `fetch(process.argv[1]).then(async (page) => console.log(page.status, await page.text()))`;
    const look = async (url: string): Promise<string> => {
      const args = ["--eval", fetchIt, url];
      const seen = watched(desk.start(process.execPath, args, { env: process.env }));
      await seen.exited;
      return seen.output();
    };
    const metricsUrl = `http://${run}-coordinator:9464/metrics`;
    const travelled = /^ringmaster_exchange_bytes_total\{.*transport="grpc".*\} [1-9]/m;
    const committed = /^ringmaster_steps_committed_total\S* [1-9]/m;
    for (
      let page = "";
      !(travelled.test(page) && committed.test(page));
      page = await look(metricsUrl)
    ) {
      for (const { child } of [coordinator, ...workers]) {
        assert.equal(child.exitCode, null, everything());
      }
      await sleep(200);
    }
    for (const host of [left, right]) {
      const page = `http://${host.address}:9464`;
      assert.match(await look(`${page}/metrics`), /^ringmaster_samples_total/m);
      assert.match(await look(`${page}/readyz`), /^200 /);
    }

    for (const probe of ["/healthz", "/healthz?js-server-only=true"]) {
      assert.match(await look(`http://${run}-nats:8222${probe}`), /^200 .*"ok"/);
    }

    const url = `nats://ringmaster:${secrets["nats-password"]}@${run}-nats:4222`;
    const bin = join(root, "coordinator/bin.mjs");
    const asked = watched(
      desk.start(process.execPath, [bin, "control", "stop", "--nats", url, "--run", run], {
        env: process.env,
      }),
    );
    assert.equal(await asked.exited, 0, asked.output());
    assert.match(asked.output(), /stop accepted, from step \d+/);

    assert.equal(await coordinator.exited, 0, everything());
    for (const worker of workers) assert.equal(await worker.exited, 0, everything());
    const output = join(folder, "output", run);
    const events = await readFile(join(output, "events.jsonl"), "utf8");
    for (const host of [left, right])
      assert.ok(events.includes(`${host.address}:7078`), events.slice(0, 2000));
    assert.match(events, /"type":"ringmaster.v1.RunEnded".*"outcome":"stopped"/);
    assert.ok((await readFile(join(output, "model.safetensors"))).length > 0);
    assert.ok(!everything().includes(secrets["nats-password"]), "the log shows no password");
  });
});
