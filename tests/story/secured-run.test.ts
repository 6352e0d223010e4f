/** The story of a run whose connections are secured: it trains as any other, and whoever lacks a certificate stays out. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import type { TlsFiles } from "../../foundation/tls/tls-identity.ts";
import { makeAuthority, skipTls } from "../support/certificates.ts";
import { hashOf, startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

/** How a handshake without a certificate ends: with data that only a server sends that lets one in, or an error. */
function knock(address: string): Promise<string> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port: Number(port),
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
    });
    socket.once("data", () => resolve("let in"));
    socket.once("error", (error) => resolve(error.message));
    socket.once("close", () => resolve("closed"));
  });
}

describe("a run with mutual TLS", { skip: skipTls }, () => {
  let folder: string;
  let job: string;
  let files: TlsFiles;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "secured-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder));
    files = makeAuthority(folder, "ours").issue("run");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const flagsOf = ({ cert, key, ca }: TlsFiles): string[] => [
    "--tls-cert",
    cert,
    "--tls-key",
    key,
    "--tls-ca",
    ca,
  ];
  const train = (name: string, flags: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    startRun(["train", job, "--workers", "2", "--output-dir", join(folder, name), ...flags], env);

  it("ends with the weights of a run in plain text, by flags or by environment", async () => {
    const steps = ["--max-steps", "6"];
    const plain = train("plain", steps);
    assert.equal(await plain.ended, 0, plain.text());
    const weights = await hashOf(join(folder, "plain", "model.safetensors"));
    const flags = train("flags", [...steps, ...flagsOf(files)]);
    assert.equal(await flags.ended, 0, flags.text());
    assert.equal(await hashOf(join(folder, "flags", "model.safetensors")), weights);
    const environment = train("environment", steps, {
      RINGMASTER_TLS_CERT: files.cert,
      RINGMASTER_TLS_KEY: files.key,
      RINGMASTER_TLS_CA: files.ca,
    });
    assert.equal(await environment.ended, 0, environment.text());
    assert.equal(await hashOf(join(folder, "environment", "model.safetensors")), weights);
  });

  it("lets nobody in without a certificate", async () => {
    const run = train(
      "waiting",
      ["--no-spawn-workers", "--listen", "127.0.0.1:0", ...flagsOf(files)],
      {
        RINGMASTER_JOIN_TOKEN: "a-token-of-this-test",
      },
    );
    await run.until(/waiting for workers/u);
    const runFile = join(folder, "waiting", "run.json");
    let text: string | null = null;
    for (; text === null; await sleep(50)) text = await readFile(runFile, "utf8").catch(() => null);
    const { coordinatorAddress } = JSON.parse(text) as { coordinatorAddress: string };
    assert.match(await knock(coordinatorAddress), /certificate required/u);
    run.interrupt();
    run.interrupt();
    await run.ended;
  });

  it("does not begin with files that do not belong together", async () => {
    const other = makeAuthority(folder, "theirs").issue("run");
    const run = train("mixed", flagsOf({ ...files, key: other.key }));
    assert.equal(await run.ended, 2, run.text());
    assert.match(
      run.text(),
      /--tls-key, .*theirs-run\.key: expected the private key of the certificate/,
    );
    const part = train("part", ["--tls-cert", files.cert]);
    assert.equal(await part.ended, 2, part.text());
    assert.match(part.text(), /--tls-key and --tls-ca: expected a file/);
  });
});
