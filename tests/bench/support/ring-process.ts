/** One rank of bench:ring, a process of its own: joins the ring that its parent names and times one exact sum at a time. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { gradientWires, wireForms } from "../../../foundation/gradient-wire.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { MemoryFiles } from "../../../worker/exact/memory-files.ts";
import { loadNativeLoops } from "../../../worker/exact/native-loops.ts";
import { loadCarriers } from "../../../worker/ring/carrier-addon.ts";
import { joinRing, startRingServer, type Ring } from "../../../worker/ring/ring.ts";

const orderSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("join"),
    rank: z.number(),
    addresses: z.array(z.string()),
    transport: z.enum(["auto", "grpc"]),
  }),
  z.object({ kind: z.literal("size"), megabytes: z.number(), wire: z.enum(gradientWires) }),
  z.object({ kind: z.literal("run") }),
  z.object({ kind: z.literal("leave") }),
]);

const signal = new AbortController().signal;
const [addonFile = "", lanes = "0"] = process.argv.slice(2);
const memoryFiles = MemoryFiles.load(addonFile);
const carriers = loadCarriers(addonFile);
const server = await startRingServer({
  listenHost: "127.0.0.1",
  advertiseHost: "127.0.0.1",
  tls: null,
  lanes: Number(lanes),
});

/** Processor time of the main thread so far, in milliseconds. Source: proc(5), /proc/pid/schedstat. */
function mainThreadMs(): number {
  const [ns = ""] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ");
  return Number(ns) / 1e6;
}

let ring: Ring | null = null;
let sum: ExactSum | null = null;
let gradient = new Float32Array(0);

function makeGradient(length: number, seed: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    values[i] = state / 2 ** 31;
  }
  return values;
}

async function obey(message: unknown): Promise<unknown> {
  const order = orderSchema.parse(message);
  if (order.kind === "join") {
    const members = order.addresses.map((ringAddress, index) => ({
      workerId: `worker-${index}`,
      ringAddress,
      hostId: "here",
    }));
    ring = await joinRing(server, {
      run: `bench-${process.ppid}-${order.transport}`,
      generation: 1n,
      rank: order.rank,
      members,
      ringKey: new Uint8Array(32).fill(9),
      signal,
      transport: order.transport,
      memoryFiles,
      carriers,
    });
    return {};
  }
  if (ring === null) throw new Error("Cannot measure as the ring is not formed");
  if (order.kind === "size") {
    const length = Math.floor((order.megabytes * 1_000_000) / 4);
    sum = new ExactSum([length], 1, [], {
      form: wireForms[order.wire],
      wideFrom: 1,
      arenaMeans: { files: memoryFiles, loops: loadNativeLoops(addonFile) },
    });
    gradient = makeGradient(length, ring.rank + 1);
    return { transport: ring.counters.transport };
  }
  if (order.kind === "leave") {
    await ring.barrier(signal);
    await ring.close();
    await server.close();
    process.disconnect();
    return {};
  }
  if (sum === null) throw new Error("Cannot measure as no size is set");
  sum.slot(0).set(gradient);
  sum.roundBy(0, ring.rank + 1);
  sum.begin();
  await ring.barrier(signal);
  const before = mainThreadMs();
  const start = performance.now();
  await sum.addGroup(1, ring.worldSize, ring, signal);
  return { ms: performance.now() - start, mainThreadMs: mainThreadMs() - before };
}

process.on("message", (message) => {
  obey(message).then(
    (answer) => process.connected && process.send?.(answer),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send?.({ address: server.address });
