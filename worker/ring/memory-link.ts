/** Links of a ring within one process: for the simulator and for tests of what runs above a link. */
import { ChunkQueue } from "./chunk-queue.ts";
import { LinkBroken, type Chunk, type Landing, type Link } from "./link.ts";

/** Chunks in flight between two neighbours before `send` waits. */
export const inFlightMax = 4;

/** Makes a ring of `count` links; link r is rank r's. */
export function createMemoryRing(count: number): readonly Link[] {
  const queues = Array.from({ length: count }, () => new ChunkQueue<Chunk>(inFlightMax));
  return queues.map((incoming, rank) => {
    const outgoing = queues[(rank + 1) % count] ?? incoming;
    let sentBytes = 0;
    let receivedBytes = 0;
    let landing: Landing | null = null;
    return {
      async send(chunk, signal) {
        await outgoing.push({ ...chunk, data: chunk.data.slice() }, signal);
        sentBytes += chunk.data.byteLength;
      },
      flush: () => Promise.resolve(),
      async receive(signal) {
        const chunk = await incoming.shift(signal);
        const bytes = chunk.data.byteLength;
        receivedBytes += bytes;
        const place = landing?.({ ...chunk, bytes }) ?? null;
        place?.set(chunk.data);
        return place === null ? chunk : { ...chunk, data: place };
      },
      land(places) {
        landing = places;
      },
      get sentBytes() {
        return sentBytes;
      },
      get receivedBytes() {
        return receivedBytes;
      },
      close() {
        const reason = new LinkBroken(`link of rank ${rank} is closed`);
        incoming.close(reason);
        outgoing.close(reason);
      },
    };
  });
}
