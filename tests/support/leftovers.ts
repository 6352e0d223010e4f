/** What a run must not leave behind, whatever ended it: processes, ports, shared memory, files that mean "it goes on". */
import assert from "node:assert/strict";
import { readFile, readdir, readlink } from "node:fs/promises";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { processesNaming } from "./story-run.ts";

const looksMax = 300;
const lookMs = 100;
const sharedMemoryFolder = "/dev/shm";

/** host:port of everything that a run which goes on serves here: workers' calls, metrics, NATS, rings. */
export async function portsOf(outputDir: string): Promise<readonly string[]> {
  const ids = await processesNaming(`RINGMASTER_RUN=${basename(outputDir)}`);
  const texts = await Promise.all(
    ["run.json", "control.json"].map((name) => readFile(join(outputDir, name), "utf8")),
  );
  const named = texts.flatMap((text) => text.match(/127\.0\.0\.1:\d+/gu) ?? []);
  const listening = await Promise.all(ids.map(listeningPorts));
  return [...new Set([...named, ...listening.flat()])];
}

/** Ports that a process listens at on 127.0.0.1. */
async function listeningPorts(processId: number): Promise<readonly string[]> {
  const folder = `/proc/${processId}/fd`;
  const names = await readdir(folder).catch(() => []);
  const links = await Promise.all(
    names.map((name) => readlink(join(folder, name)).catch(() => "")),
  );
  const sockets = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/u.exec(link)?.[1] ?? []));
  const table = await readFile("/proc/net/tcp", "utf8");
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/u);
    const port = Number.parseInt(local.split(":")[1] ?? "", 16);
    return state === "0A" && sockets.has(inode) ? [`127.0.0.1:${port}`] : [];
  });
}

function isOpen(address: string): Promise<boolean> {
  const [host = "", port] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    const tell = (open: boolean) => (): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", tell(true)).once("error", tell(false));
  });
}

async function sharedMemory(): Promise<readonly string[]> {
  const names = await readdir(sharedMemoryFolder);
  return names.filter((name) => name.startsWith("ringmaster-"));
}

/** Looks until something is empty; fails with what stays. */
async function untilNone(what: string, look: () => Promise<readonly unknown[]>): Promise<void> {
  let left = await look();
  for (let looks = 0; left.length > 0 && looks < looksMax; looks++) {
    await sleep(lookMs);
    left = await look();
  }
  assert.deepEqual(left, [], `${what} left behind`);
}

/** Waits until nothing of a run is left. @param ports as `portsOf` gave them while it went on */
export async function nothingLeft(outputDir: string, ports: readonly string[]): Promise<void> {
  const run = basename(outputDir);
  const inShared = new Set(await sharedMemory());
  await untilNone("processes", async () => [
    ...(await processesNaming(`RINGMASTER_RUN=${run}`)),
    ...(await processesNaming(outputDir)),
  ]);
  await untilNone("ports", async () => {
    const open = await Promise.all(ports.map(isOpen));
    return ports.filter((_, index) => open[index]);
  });
  // Runs beside this one make such files too, and remove them at once.
  await untilNone("shared memory", async () =>
    (await sharedMemory()).filter((name) => inShared.has(name)),
  );
  const names = await readdir(outputDir);
  const passing = names.filter((name) => /^(?:control\.json|nats|.*partial)$/u.test(name));
  assert.deepEqual(passing, [], "files left behind");
}
