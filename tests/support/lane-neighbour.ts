/** Rank 1 of a ring of two, with lanes, in a process of its own: sums the same vector again and again until it is killed. */
import { once } from "node:events";
import { Arena } from "../../worker/exact/arena.ts";
import { joinRing, startRingServer } from "../../worker/ring/ring.ts";

const [, , address = "", elements = ""] = process.argv;
const server = await startRingServer({
  listenHost: "127.0.0.1",
  advertiseHost: "127.0.0.1",
  tls: null,
  lanes: 2,
});
process.stdout.write(`${server.address}\n`);
const signal = new AbortController().signal;
const ring = await joinRing(server, {
  run: "lanes",
  generation: 1n,
  rank: 1,
  members: [address, server.address].map((ringAddress, rank) => ({
    workerId: `worker-${rank}`,
    ringAddress,
    hostId: `host-${rank}`,
  })),
  ringKey: new Uint8Array(32).fill(5),
  signal,
});
const { buffer, byteOffset, length } = new Arena(Number(elements) * 4).words(Number(elements));
const vector = new Int32Array(buffer, byteOffset, length);
for (;;) await Promise.race([ring.sumIntegers(vector, signal), once(process, "exit")]);
