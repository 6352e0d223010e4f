/** One rank of bench:ring, a process of its own: joins the ring that its parent names and times exact sums. */
import { z } from "zod";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { joinRing, startRingServer } from "../../../worker/ring/ring.ts";

const startSchema = z.object({
  rank: z.number(),
  addresses: z.array(z.string()),
  transport: z.enum(["auto", "grpc"]),
  repeats: z.number(),
  megabytes: z.array(z.number()),
});

const signal = new AbortController().signal;
const server = await startRingServer({ listenHost: "127.0.0.1", advertiseHost: "127.0.0.1" });

async function measure(message: unknown): Promise<void> {
  const { rank, addresses, transport, repeats, megabytes } = startSchema.parse(message);
  const members = addresses.map((ringAddress, index) => ({
    workerId: `worker-${index}`,
    ringAddress,
    hostId: "here",
  }));
  const ringKey = new Uint8Array(32).fill(9);
  const ring = await joinRing(server, {
    run: `bench-${process.ppid}`,
    generation: 1n,
    rank,
    members,
    ringKey,
    signal,
    transport,
  });
  const ms: Record<string, number[]> = {};
  for (const size of megabytes) {
    const length = (size * 1_000_000) / 4;
    const sum = new ExactSum([length], 1);
    const gradient = Float32Array.from({ length }, (_, i) => Math.sin(i + rank));
    const times: number[] = [];
    for (let i = 0; i < repeats + 2; i++) {
      sum.slot(0).set(gradient);
      sum.begin();
      await ring.barrier(signal);
      const start = performance.now();
      await sum.addGroup(1, addresses.length, ring, signal);
      times.push(performance.now() - start);
    }
    ms[String(size)] = times.slice(2);
  }
  process.send?.({ ms, transport: ring.counters.transport });
  await ring.barrier(signal);
  await ring.close();
  await server.close();
  process.disconnect();
}

process.once("message", (message) => {
  measure(message).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.send?.({ address: server.address });
