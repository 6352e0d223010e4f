/**
 * The link over gRPC: this worker pulls a stream from its left neighbour and serves one to its right neighbour. Between
 * workers of one host payloads go through shared memory; the streams then carry signals and acknowledgements.
 */
import { GrpcInlet } from "./grpc-inlet.ts";
import { GrpcOutlet } from "./grpc-outlet.ts";
import type { LinkOptions, Transport } from "./link-options.ts";
import { LinkBroken, type Chunk, type Landing, type Link } from "./link.ts";
import type { RingServer } from "./ring-server.ts";

/** A link that knows how its payloads travel. */
export interface GrpcLink extends Link {
  readonly transport: Transport;
  /** Is aborted once a neighbour has left, or the link is closed. */
  readonly lost: AbortSignal;
}

/** Connects both sides; resolves when both neighbours are there. */
export async function connectGrpcLink(
  server: RingServer,
  place: Omit<LinkOptions, "lane" | "lanes">,
): Promise<GrpcLink> {
  const options: LinkOptions = { ...place, lane: 0, lanes: server.lanes };
  const losing = new AbortController();
  const lost = (reason: Error): void => losing.abort(reason);
  const outlet = new GrpcOutlet(options, lost);
  server.expect({
    run: options.run,
    generation: options.generation,
    ringKey: options.ringKey,
    lane: options.lane,
    puller: options.right.workerId,
    attach: (call, opening) => outlet.attach(call, opening),
  });
  const inlet = new GrpcInlet(options, server.tls, lost);
  const close = (): void => {
    const reason = new LinkBroken(`ring of generation ${options.generation} is closed`);
    outlet.close(reason);
    inlet.close(reason);
  };
  try {
    await Promise.all([outlet.ready(options.signal), inlet.ready(options.signal)]);
  } catch (error) {
    close();
    throw error;
  }
  return {
    send: (chunk: Chunk, signal: AbortSignal) => outlet.send(chunk, signal),
    flush: (signal: AbortSignal) => outlet.flush(signal),
    receive: (signal: AbortSignal) => inlet.receive(signal),
    land: (landing: Landing | null) => inlet.land(landing),
    get sentBytes() {
      return outlet.sentBytes;
    },
    get receivedBytes() {
      return inlet.receivedBytes;
    },
    get transport() {
      return outlet.transport;
    },
    lost: losing.signal,
    close,
  };
}
