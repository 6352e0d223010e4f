/** The page over HTTP: its three paths, and what is said when it cannot be served. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { Registry } from "prom-client";
import { BadInput } from "../../../foundation/bad-input.ts";
import { parseListenAddress } from "../../../foundation/telemetry/listen-address.ts";
import {
  serveMetrics,
  type MetricsServer,
  type Readiness,
} from "../../../foundation/telemetry/metrics-server.ts";
import { gaugeOf } from "../../../foundation/telemetry/metric-families.ts";
import { metrics } from "../../../proto/metric-names.ts";

async function served(
  t: TestContext,
  readiness: () => Readiness,
  listen = "127.0.0.1:0",
): Promise<MetricsServer> {
  const registry = new Registry();
  gaugeOf(registry, metrics.worldSize).set(3);
  const server = await serveMetrics({ registry, listen, flag: "--metrics-listen", readiness });
  t.after(() => server.close());
  return server;
}

describe("metrics server", () => {
  it("serves metrics, health and readiness", async (t) => {
    let readiness = { ready: false, reason: "joining" };
    const { address } = await served(t, () => readiness);
    const get = (path: string, method = "GET"): Promise<Response> =>
      fetch(`http://${address}${path}`, { method });

    const page = await get("/metrics");
    assert.match(page.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
    assert.match(await page.text(), /^ringmaster_world_size 3$/m);
    assert.equal(await (await get("/healthz")).text(), "ok\n");
    const notReady = await get("/readyz?verbose");
    assert.deepEqual([notReady.status, await notReady.text()], [503, "joining\n"]);
    readiness = { ready: true, reason: "in the ring" };
    const ready = await get("/readyz");
    assert.deepEqual([ready.status, await ready.text()], [200, "in the ring\n"]);
    const head = await get("/healthz", "HEAD");
    assert.deepEqual([head.status, await head.text()], [200, ""]);
    assert.equal((await get("/")).status, 404);
    assert.equal((await get("/metrics", "POST")).status, 405);
  });

  it("names the flag when the port is in use or the address is none of ours", async (t) => {
    const ready = (): Readiness => ({ ready: true, reason: "" });
    const { address } = await served(t, ready);
    const rows: [listen: string, message: RegExp][] = [
      [address, /^--metrics-listen: expected a free port, found 127\.0\.0\.1:\d+ in use/],
      ["192.0.2.1:0", /^--metrics-listen: expected an address of this machine/],
      ["9464", /^--metrics-listen: expected host:port such as/],
      ["localhost:65536", /^--metrics-listen: expected host:port such as/],
      ["a:b:1", /^--metrics-listen: expected host:port such as/],
    ];
    for (const [listen, message] of rows) {
      await assert.rejects(
        served(t, ready, listen),
        (error) => error instanceof BadInput && message.test(error.message),
        listen,
      );
    }
  });

  it("reads addresses of either family", () => {
    assert.deepEqual(parseListenAddress("[::1]:5", "-"), { host: "::1", port: 5 });
    assert.deepEqual(parseListenAddress(":0", "-"), { host: "::", port: 0 });
    assert.deepEqual(parseListenAddress("localhost:80", "-"), { host: "localhost", port: 80 });
  });
});
