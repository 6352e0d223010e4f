/** The connection of who is pulled from: DATA is sent by the ring itself, everything else is node's HTTP/2. */
import { performServerHandshake, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { ControlStream } from "./control-stream.ts";
import { DataSender } from "./data-sender.ts";
import { FrameSplitter, type FrameTaker } from "./frame-splitter.ts";
import {
  frameFlags,
  frameTypes,
  prefaceBytes,
  readSettings,
  writeFrameHead,
  type FrameHead,
} from "./http2-frames.ts";
import { keepAlive, sessionMemoryMax } from "./ring-http2.ts";
import { takeDescriptor } from "./socket-handle.ts";

/** Longest frame of settings or of a window that is looked at; there are a dozen settings of 6 bytes. */
const watchedBytesMax = 1024;

/** A connection's two halves. */
export interface ServedConnection {
  readonly session: ServerHttp2Session;
  readonly sender: DataSender;
  /** Hands a plain socket over to who reads and writes it by its descriptor; null where there is none. Nothing may be on its way. */
  handOver(): number | null;
}

/** Gathers a frame's payload. */
function gather(length: number, whole: (payload: Buffer) => void): FrameTaker {
  const payload = Buffer.alloc(length);
  let at = 0;
  return {
    take: (piece) => {
      payload.set(piece, at);
      at += piece.byteLength;
    },
    end: () => whole(payload),
  };
}

/** Begins HTTP/2 on a socket that has been accepted. */
export function serveConnection(socket: Socket): ServedConnection {
  const sender = new DataSender((pieces, sent) => {
    socket.cork();
    for (const [index, piece] of pieces.entries())
      socket.write(piece, index === pieces.length - 1 ? sent && (() => sent()) : undefined);
    socket.uncork();
  });
  const opened: number[] = [];
  const leaving = new FrameSplitter({
    prefaceBytes: 0,
    begin: ({ type, streamId }) => {
      if (type === frameTypes.headers) opened.push(streamId);
      return null;
    },
    pass: () => undefined,
  });
  const control = new ControlStream(socket, (bytes) => {
    leaving.read(bytes);
    for (const streamId of opened.splice(0)) sender.open(streamId);
  });
  control.on("error", () => undefined);
  /** Settings are for both; of windows node must not hear: it would see them grow and never be used. */
  const begin = (head: FrameHead): FrameTaker | null => {
    const { type, flags, length, streamId } = head;
    if (length > watchedBytesMax) return null;
    if (type === frameTypes.windowUpdate && length === 4) {
      return gather(length, (payload) =>
        sender.widen(streamId, payload.readUInt32BE() & 0x7fffffff),
      );
    }
    if (type !== frameTypes.settings || (flags & frameFlags.ack) !== 0) return null;
    return gather(length, (payload) => {
      control.receive(Buffer.concat([writeFrameHead(head), payload]));
      sender.settings(readSettings(payload));
    });
  };
  const arriving = new FrameSplitter({
    prefaceBytes,
    begin,
    pass: (bytes) => control.receive(bytes),
  });
  socket.on("data", (bytes: Buffer) => {
    arriving.read(bytes);
    if (control.isFull) socket.pause();
  });
  socket.on("error", () => control.destroy());
  const session = performServerHandshake(control, { maxSessionMemory: sessionMemoryMax });
  const endPings = keepAlive(session);
  return {
    session,
    sender,
    handOver() {
      if (socket instanceof TLSSocket || socket.destroyed) return null;
      control.handOver();
      endPings();
      return takeDescriptor(socket);
    },
  };
}
