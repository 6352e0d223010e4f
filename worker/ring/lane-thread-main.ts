/** A lane's thread: connections of its own to both neighbours, over which it moves the payloads that it is told of. */
import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import { ChunkQueue } from "./chunk-queue.ts";
import { GrpcInlet } from "./grpc-inlet.ts";
import { GrpcOutlet } from "./grpc-outlet.ts";
import type {
  LaneAnswer,
  LaneArrival,
  LaneEnds,
  LanePlace,
  LaneRequest,
  LaneSend,
  LaneSent,
  LaneSettings,
} from "./lane-messages.ts";
import { LanePlaces } from "./lane-places.ts";
import { noLanes, type LinkOptions } from "./link-options.ts";
import { LinkBroken } from "./link.ts";
import { startRingServer, type RingServer } from "./ring-server.ts";
import { Signpost } from "./signpost.ts";

const port = parentPort;
if (port === null) throw new Error("Cannot run lane-thread-main outside of a worker thread");

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function optionsOf(ends: LaneEnds, signal: AbortSignal): LinkOptions {
  return { ...ends, sharedMemoryFolder: null, lanes: noLanes, signal };
}

/** Is aborted when the main thread has closed the port. */
function untilClosed(session: MessagePort): AbortController {
  const closing = new AbortController();
  session.once("close", () => closing.abort(new LinkBroken("the lane is closed")));
  return closing;
}

/** Tells the main thread why a session has ended, unless that has ended it. */
function report(session: MessagePort, work: Promise<never>, signal: AbortSignal): void {
  work.catch((error: unknown) => {
    if (!signal.aborted)
      session.postMessage({ kind: "lost", reason: reasonOf(error) } satisfies LaneSent);
  });
}

function serve(server: RingServer, ends: LaneEnds, session: MessagePort): void {
  const { signal } = untilClosed(session);
  const outlet = new GrpcOutlet(optionsOf(ends, signal));
  const { run, generation, ringKey, lane, right } = ends;
  server.expect({
    run,
    generation,
    ringKey,
    lane,
    puller: right.workerId,
    attach: (call, opening) => outlet.attach(call, opening),
  });
  // The main thread counts what it has asked for.
  const toSend = new ChunkQueue<LaneSend>(Number.POSITIVE_INFINITY);
  session.on("message", (send: LaneSend) => void toSend.push(send, signal).catch(() => undefined));
  signal.addEventListener("abort", () => outlet.close(new LinkBroken("the lane is closed")));
  const sendAll = async (): Promise<never> => {
    for (;;) {
      const { head, data } = await toSend.shift(signal);
      await outlet.send({ ...head, data }, signal);
      await outlet.flush(signal);
      session.postMessage({ kind: "sent" } satisfies LaneSent);
    }
  };
  report(session, sendAll(), signal);
}

function pull(
  server: RingServer,
  { ends, port: session, stopped }: Extract<LaneRequest, { readonly kind: "pull" }>,
): void {
  const closing = untilClosed(session);
  const { signal } = closing;
  const inlet = new GrpcInlet(optionsOf(ends, signal), server.tls);
  const places = new LanePlaces();
  /** What has been put where the main thread wants it. */
  const placed = new WeakSet<Uint8Array>();
  const taken = new Signpost();
  inlet.land((head) => {
    const place = places.take(head);
    if (place !== null) placed.add(place);
    return place;
  });
  session.on("message", (message: LanePlace) => {
    if (message.kind === "place") places.tell(message.head, message.place);
    else if (message.kind === "taken") taken.raise();
    else closing.abort(new LinkBroken("the lane is closed"));
  });
  signal.addEventListener("abort", () => {
    inlet.close(new LinkBroken("the lane is closed"));
    Atomics.store(stopped, 0, 1);
    Atomics.notify(stopped, 0);
  });
  const tell = (arrival: LaneArrival): void => session.postMessage(arrival);
  const receiveAll = async (): Promise<never> => {
    await inlet.ready(signal);
    tell({ kind: "open" });
    for (;;) {
      const { data, ...chunk } = await inlet.receive(signal);
      const head = { ...chunk, bytes: data.byteLength };
      const isPlaced = placed.has(data);
      tell({ kind: "arrived", head, data: isPlaced ? null : data });
      if (isPlaced) continue;
      // Its memory is used for another one then; and its place, if it was told meanwhile, is of no use any more.
      await taken.reached(signal);
      places.take(head);
    }
  };
  report(session, receiveAll(), signal);
}

// Only startLane starts this thread, and it passes LaneSettings; buffers come as plain bytes.
const settings = workerData as LaneSettings;
const { tls } = settings;
const answer = (message: LaneAnswer): void => port.postMessage(message);
try {
  const server = await startRingServer({
    ...settings,
    tls: tls && {
      ...tls,
      cert: Buffer.from(tls.cert),
      key: Buffer.from(tls.key),
      ca: Buffer.from(tls.ca),
    },
  });
  port.on("message", (request: LaneRequest) => {
    if (request.kind === "serve") serve(server, request.ends, request.port);
    else if (request.kind === "pull") pull(server, request);
    // What was sent last is still taken. Ends this thread only.
    else void server.close().finally(() => process.exit());
  });
  answer({ kind: "ready", address: server.address });
} catch (error) {
  answer({ kind: "broken", reason: reasonOf(error) });
}
