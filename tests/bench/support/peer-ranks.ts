/** The peer's processes, one a rank: each reads a command a line and answers with a JSON line, so that it starts once. */
import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { z } from "zod";
import { endWithBench } from "./leftovers.ts";
import { ensurePeerPython, peersFolder } from "./peer-python.ts";

/** Started ranks. */
export interface PeerRanks<Hello> {
  /** What rank 0 said when it was ready. */
  readonly hello: Hello;
  /** Gives all ranks a command and waits for all answers; resolves with rank 0's. */
  ask<T>(command: object, schema: z.ZodType<T>): Promise<T>;
  close(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  if (address === null || typeof address === "string") throw new Error("Cannot find a free port");
  return address.port;
}

/** Starts one rank's program; its input and output are pipes. */
export type RankStarter = (
  rank: number,
  program: {
    readonly command: string;
    readonly args: readonly string[];
    readonly env: NodeJS.ProcessEnv;
  },
) => ChildProcess;

/** Where ranks run and how they meet. */
export interface RanksPlace {
  readonly start: RankStarter;
  readonly address: string;
  /** Name of the network interface. */
  readonly interface: string;
}

const thisMachine: RanksPlace = {
  start: (_rank, { command, args, env }) => spawn(command, args, { env }),
  address: "127.0.0.1",
  interface: "lo",
};

class Rank {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = "";

  constructor(child: ChildProcess) {
    this.child = child;
    endWithBench(child);
    if (child.stdout === null) throw new Error("Cannot read from a rank without pipes");
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-10_000);
    });
  }

  /** The next JSON line; what libraries print beside is passed over. */
  async answer(): Promise<unknown> {
    for (;;) {
      const next = await this.#lines.next();
      if (next.done === true) throw new Error(`a peer ended without an answer:\n${this.#errors}`);
      if (next.value.startsWith("{")) return JSON.parse(next.value);
    }
  }
}

/** Starts a script of peers/ in `worldSize` processes and waits until all are ready. */
export async function startPeerRanks<Hello>(
  script: string,
  args: readonly string[],
  hello: z.ZodType<Hello>,
  {
    worldSize = 1,
    env = {},
    place = thisMachine,
  }: {
    worldSize?: number;
    env?: Readonly<Record<string, string>>;
    place?: RanksPlace;
  } = {},
): Promise<PeerRanks<Hello>> {
  const python = ensurePeerPython();
  const port = await freePort();
  const ranks = Array.from({ length: worldSize }, (_, rank) => {
    const meeting = {
      RANK: String(rank),
      WORLD_SIZE: String(worldSize),
      MASTER_ADDR: place.address,
      MASTER_PORT: String(port),
      GLOO_SOCKET_IFNAME: place.interface,
    };
    return new Rank(
      place.start(rank, {
        command: python,
        args: [join(peersFolder, script), ...args],
        env: { ...process.env, ...meeting, ...env },
      }),
    );
  });
  const answers = async <T>(schema: z.ZodType<T>): Promise<T> => {
    const [first] = await Promise.all(ranks.map((rank) => rank.answer()));
    return schema.parse(first);
  };
  const close = async (): Promise<void> => {
    await Promise.all(
      ranks.map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = new Promise((resolve) => child.once("close", resolve));
        child.kill("SIGKILL");
        await ended;
      }),
    );
  };
  try {
    return {
      hello: await answers(hello),
      async ask(command, schema) {
        for (const { child } of ranks) child.stdin?.write(`${JSON.stringify(command)}\n`);
        return await answers(schema);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
