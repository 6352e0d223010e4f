/** Memory of JavaScript that is given back when its use is over, instead of when V8 next collects all of its garbage. */
import { MessageChannel } from "node:worker_threads";

/**
 * Frees the memory of vectors within a turn of the event loop: wherever they are still known, they are empty from now on. V8
 * would keep it until its next full collection, which in a process that allocates little may not come for hours. Vectors of shared
 * memory are left alone. All views of the same memory are emptied with them.
 */
export function freeVectors(vectors: readonly Float32Array[]): void {
  const buffers = new Set<ArrayBuffer>();
  for (const { buffer } of vectors) if (buffer instanceof ArrayBuffer) buffers.add(buffer);
  // What was sent to a port that closes before it is read is nobody's.
  const { port1: sender, port2: receiver } = new MessageChannel();
  sender.postMessage(null, [...buffers]);
  receiver.close();
}
