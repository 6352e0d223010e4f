/** The groups of processes that bench:ring compares: ours and gloo's, started once and told what to do, in turn. */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { GradientWire } from "../../../foundation/gradient-wire.ts";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { allocatorEnvironment, workerNodeFlags } from "../../../proto/environment.ts";
import { installedBinding } from "../../support/installed-binding.ts";
import { ensurePeerPython } from "./peer-python.ts";

/** Of one exchange, the most of any rank, in milliseconds. */
export interface RingTimes {
  readonly ms: number;
  /** Processor time of the thread that leads the exchange; the whole time where it is not known apart. */
  readonly mainThreadMs: number;
}

/** A group of processes that exchange a vector. */
export interface RingGroup {
  /** How its payloads travel, or whose it is. */
  readonly name: string;
  /** Makes the vector. */
  size(megabytes: number): Promise<void>;
  /** Exchanges it once. */
  run(): Promise<RingTimes>;
  leave(): Promise<void>;
}

const here = dirname(fileURLToPath(import.meta.url));
const timeSchema = z.object({ ms: z.number(), mainThreadMs: z.number().optional() });
const addressSchema = z.object({ address: z.string() });
const torchSchema = z.object({ torch: z.string() });

/** One rank, asked and answering. */
interface Member {
  ask(order: unknown): Promise<unknown>;
  ended: Promise<void>;
}

function endOf(child: ChildProcess, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`${name} ended with ${code}`)),
    );
  });
}

async function slowest(members: readonly Member[], order: unknown): Promise<RingTimes> {
  const answers = await Promise.all(members.map((member) => member.ask(order)));
  const times = answers.map((answer) => timeSchema.parse(answer));
  return {
    ms: Math.max(...times.map(({ ms }) => ms)),
    mainThreadMs: Math.max(...times.map(({ ms, mainThreadMs }) => mainThreadMs ?? ms)),
  };
}

/** A way of ours to exchange a vector. */
export interface OurWay {
  readonly transport: "auto" | "grpc";
  readonly lanes: number;
  readonly wire: GradientWire;
}

function nameOf({ transport, lanes, wire }: OurWay): string {
  const parts = [
    transport,
    ...(wire === "int32" ? [] : [wire]),
    ...(lanes > 0 ? [`${lanes} lanes`] : []),
  ];
  return parts.join(", ");
}

/** Starts `count` of our workers' rings, without the engine. */
export async function startOurGroup(count: number, way: OurWay): Promise<RingGroup> {
  const { transport, lanes, wire } = way;
  const script = join(here, "ring-process.ts");
  const addonFile = exactAddonFile(await installedBinding());
  const starts = Array.from({ length: count }, async (_, rank) => {
    // The allocator's settings are those that workers are started with.
    const child = fork(script, [addonFile, String(lanes)], {
      execArgv: [...workerNodeFlags, "--import", "tsx"],
      env: { ...process.env, ...allocatorEnvironment },
    });
    const ended = endOf(child, `rank ${rank} of ours`);
    const next = (): Promise<unknown> =>
      Promise.race([
        new Promise((resolve) => child.once("message", resolve)),
        ended.then(() => ({})),
      ]);
    const { address } = addressSchema.parse(await next());
    const ask = (order: unknown): Promise<unknown> => {
      const answer = next();
      child.send(z.record(z.string(), z.unknown()).parse(order));
      return answer;
    };
    return { ask, ended, address };
  });
  const members = await Promise.all(starts);
  const addresses = members.map((member) => member.address);
  await Promise.all(
    members.map((member, rank) => member.ask({ kind: "join", rank, addresses, transport })),
  );
  return {
    name: nameOf(way),
    async size(megabytes) {
      await Promise.all(members.map((member) => member.ask({ kind: "size", megabytes, wire })));
    },
    run: () => slowest(members, { kind: "run" }),
    async leave() {
      await Promise.all(members.map((member) => member.ask({ kind: "leave" })));
      await Promise.all(members.map((member) => member.ended));
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("Cannot find a free port");
  return address.port;
}

/** Starts `count` ranks of gloo. */
export async function startGlooGroup(
  count: number,
): Promise<RingGroup & { readonly torch: string }> {
  const script = join(dirname(here), "peers", "gloo_all_reduce.py");
  const python = ensurePeerPython();
  const port = await freePort();
  const starts = Array.from({ length: count }, async (_, rank) => {
    const args = [script, rank, count, port].map(String);
    const child = spawn(python, args, { stdio: ["pipe", "pipe", "inherit"] });
    const ended = endOf(child, `rank ${rank} of gloo`);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => {
      const line = await Promise.race([lines.next(), ended]);
      if (line === undefined || line.done === true) throw new Error(`rank ${rank} of gloo is gone`);
      return JSON.parse(line.value);
    };
    const { torch } = torchSchema.parse(await next());
    const ask = (order: unknown): Promise<unknown> => {
      child.stdin.write(`${z.string().parse(order)}\n`);
      return next();
    };
    return { ask, ended, torch, close: () => child.stdin.end() };
  });
  const members = await Promise.all(starts);
  return {
    name: "gloo",
    torch: members[0]?.torch ?? "",
    async size(megabytes) {
      await Promise.all(members.map((member) => member.ask(`size ${megabytes}`)));
    },
    run: () => slowest(members, "run"),
    async leave() {
      for (const member of members) member.close();
      await Promise.all(members.map((member) => member.ended));
    },
  };
}
