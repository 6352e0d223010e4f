import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BadInput } from "../../foundation/bad-input.ts";
import { readWorkerOptions, type WorkerOptions } from "../../worker/options.ts";

const given = { RINGMASTER_COORDINATOR: "lead:7000", RINGMASTER_JOIN_TOKEN: "token" };

function optionsOf(args: readonly string[], env: NodeJS.ProcessEnv = given): WorkerOptions {
  const request = readWorkerOptions(args, env);
  assert.equal(request.kind, "work");
  return (request as Extract<typeof request, { kind: "work" }>).options;
}

describe("readWorkerOptions", () => {
  it("takes everything from the environment that a launcher sets", () => {
    const options = optionsOf([], {
      ...given,
      RINGMASTER_RUN: "spring",
      RINGMASTER_ADVERTISE_HOST: "10.0.0.7",
      RINGMASTER_METRICS_LISTEN: "0.0.0.0:9465",
      RINGMASTER_DEVICE: "gpu",
      RINGMASTER_LOCAL_RANK: "3",
      RINGMASTER_BINDING_FILE: "/cache/binding.node",
      RINGMASTER_TENSORFLOW_VERSION: "2.21.0",
      RINGMASTER_THREADS: "2",
      RINGMASTER_RING_LANES: "3",
      RINGMASTER_TLS_CERT: "/tls/tls.crt",
      RINGMASTER_TLS_KEY: "/tls/tls.key",
      RINGMASTER_TLS_CA: "/tls/ca.crt",
    });
    assert.deepEqual(options, {
      coordinator: "lead:7000",
      run: "spring",
      joinToken: "token",
      tls: { cert: "/tls/tls.crt", key: "/tls/tls.key", ca: "/tls/ca.crt" },
      joinWaitMs: 600_000,
      listen: { host: "0.0.0.0", port: 0 },
      advertiseHost: "10.0.0.7",
      metricsListen: "0.0.0.0:9465",
      device: "gpu",
      localRank: 3,
      ringTransport: "auto",
      ringLanes: 3,
      logLevel: "info",
      native: { bindingFile: "/cache/binding.node", tensorflowVersion: "2.21.0" },
      threads: 2,
    } satisfies WorkerOptions);
  });

  it("listens on loopback only unless it is told how others reach it", () => {
    assert.equal(optionsOf([]).listen.host, "127.0.0.1");
    assert.equal(optionsOf([]).metricsListen, null);
  });

  it("lets flags win, and reads the token from a file", () => {
    const folder = mkdtempSync(join(tmpdir(), "ringmaster-options-"));
    try {
      const file = join(folder, "token");
      writeFileSync(file, "from-file\n");
      const flags = ["--coordinator", "[::1]:7001", "--join-token-file", file];
      const ring = ["--ring-transport", "grpc", "--ring-lanes", "auto"];
      const options = optionsOf([...flags, "--join-wait", "5", ...ring]);
      assert.equal(options.coordinator, "[::1]:7001");
      assert.equal(options.joinToken, "from-file");
      assert.equal(options.joinWaitMs, 5000);
      assert.equal(options.ringTransport, "grpc");
      assert.equal(options.ringLanes, null);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("gives help", () => {
    const request = readWorkerOptions(["--help"], {});
    assert.ok(request.kind === "help" && request.text.includes("--coordinator <host:port>"));
  });

  for (const [args, env, wanted] of [
    [[], {}, /--coordinator/],
    [["--coordinator", "lead"], given, /--coordinator.*found lead/],
    [["--coordinator", "lead:0"], given, /--coordinator/],
    [["--coordinator", "lead:99999"], given, /--coordinator/],
    [[], { RINGMASTER_COORDINATOR: "lead:1" }, /--join-token-file/],
    [["--join-token-file", "/nowhere/token"], given, /\/nowhere\/token/],
    [["--device", "tpu"], given, /--device: expected cpu or gpu, found tpu/],
    [["--local-rank", "-1"], given, /--local-rank/],
    [["--join-wait", "soon"], given, /--join-wait/],
    [["--ring-transport", "udp"], given, /--ring-transport/],
    [["--ring-lanes", "many"], given, /--ring-lanes: .*from 0 to 16.*many/],
    [["--no-such-flag"], given, /--no-such-flag/],
    [["stray"], given, /expected the flags/],
  ] satisfies [string[], NodeJS.ProcessEnv, RegExp][]) {
    it(`refuses ${JSON.stringify(args)} given ${Object.keys(env).length} variables`, () => {
      assert.throws(
        () => readWorkerOptions(args, env),
        (error: unknown) => error instanceof BadInput && wanted.test(error.message),
      );
    });
  }
});
