/**
 * Separate hosts on one machine: network namespaces with addresses of their own, joined by a bridge, each with a /dev/shm
 * and a hosts file of its own. What runs in them can meet over the network only, as pods do. Linux, as root.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A host. */
export interface NetworkHost {
  readonly name: string;
  /** Its IPv4 address, which the other hosts reach. */
  readonly address: string;
  /** Starts a program on it. Output goes to pipes. */
  start(command: string, args: readonly string[], options: StartOptions): ChildProcess;
  /** Limits what it sends to so many megabits a second, as a link of that speed would (a token bucket). */
  limit(megabits: number): void;
}

/** How a program is started. */
export interface StartOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Whether something will be written to it. Default: no. */
  readonly writable?: boolean;
}

/** The hosts, in the order of their names. */
export interface Network {
  readonly hosts: readonly NetworkHost[];
  /** Kills what runs on them and removes them. */
  remove(): void;
}

function ip(args: string): void {
  execFileSync("ip", args.split(" "), { stdio: "pipe" });
}

/** Whether this machine lets us make such hosts. */
export function networksPermitted(): boolean {
  const probe = `rmprobe${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", probe], { stdio: "ignore" }).status === 0;
  if (!made) return false;
  const usable =
    spawnSync("ip", ["-n", probe, "link", "add", "br0", "type", "bridge"]).status === 0;
  const mounts = spawnSync("ip", [
    "netns",
    "exec",
    probe,
    "mount",
    "-t",
    "tmpfs",
    "none",
    "/dev/shm",
  ]);
  spawnSync("ip", ["netns", "del", probe]);
  return usable && mounts.status === 0;
}

/** The bucket: 2 ms of the rate, because the kernel looks at it about that often, and at least a few large packets. */
function burstBytes(megabits: number): number {
  return Math.max(200_000, Math.ceil((megabits * 1e6 * 0.002) / 8));
}

/** A private /dev/shm and hosts file, then the program. */
const entry = `mount -t tmpfs none /dev/shm && mount --bind "$1" /etc/hosts && shift && exec "$@"`;

function hostOf(
  name: string,
  place: { readonly namespace: string; readonly address: string; readonly hostsFile: string },
): NetworkHost {
  return {
    name,
    address: place.address,
    start(command, args, { writable = false, ...options }) {
      const inside = ["netns", "exec", place.namespace, "sh", "-c", entry, "sh", place.hostsFile];
      return spawn("ip", [...inside, command, ...args], {
        stdio: [writable ? "pipe" : "ignore", "pipe", "pipe"],
        ...options,
      });
    },
    limit(megabits) {
      const rate = `rate ${megabits}mbit burst ${burstBytes(megabits)} latency 100ms`;
      execFileSync(
        "tc",
        `-n ${place.namespace} qdisc replace dev eth0 root tbf ${rate}`.split(" "),
      );
    },
  };
}

function killAll(namespace: string): void {
  const { stdout } = spawnSync("ip", ["netns", "pids", namespace], { encoding: "utf8" });
  for (const id of stdout.split("\n").filter((line) => line !== "")) {
    try {
      process.kill(Number(id), "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

/**
 * Makes hosts. Every host knows every other one by its name, and by the further names in `aliases` (alias → name of the
 * host).
 */
export function createNetwork(
  names: readonly string[],
  aliases: Readonly<Record<string, string>> = {},
): Network {
  const prefix = `rm${process.pid}`;
  const bridge = `${prefix}-bridge`;
  const folder = mkdtempSync(join(tmpdir(), "ringmaster-network-"));
  const hostsFile = join(folder, "hosts");
  const places = names.map((name, index) => ({
    name,
    namespace: `${prefix}-${index}`,
    address: `10.77.0.${index + 2}`,
    hostsFile,
  }));
  const remove = (): void => {
    for (const namespace of [...places.map((place) => place.namespace), bridge]) {
      killAll(namespace);
      spawnSync("ip", ["netns", "del", namespace]);
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const addressOf = new Map(places.map(({ name, address }) => [name, address]));
    const lines = [
      "127.0.0.1 localhost",
      ...places.map(({ name, address }) => `${address} ${name}`),
      ...Object.entries(aliases).map(([alias, name]) => `${addressOf.get(name)} ${alias}`),
    ];
    writeFileSync(hostsFile, `${lines.join("\n")}\n`);
    ip(`netns add ${bridge}`);
    ip(`-n ${bridge} link add br0 type bridge`);
    ip(`-n ${bridge} link set br0 up`);
    for (const [index, { namespace, address }] of places.entries()) {
      ip(`netns add ${namespace}`);
      ip(`link add eth0 netns ${namespace} type veth peer name port${index} netns ${bridge}`);
      ip(`-n ${bridge} link set port${index} master br0 up`);
      ip(`-n ${namespace} addr add ${address}/24 dev eth0`);
      ip(`-n ${namespace} link set lo up`);
      ip(`-n ${namespace} link set eth0 up`);
    }
    return { hosts: places.map((place) => hostOf(place.name, place)), remove };
  } catch (error) {
    remove();
    throw error;
  }
}
