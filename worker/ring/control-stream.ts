/**
 * What node's HTTP/2 takes for its connection: the control frames of a socket whose DATA the ring moves itself. Node's HTTP/2
 * writes whole frames at a time, so that others can be put between its writes.
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";

type Callback = (error?: Error | null) => void;

/** The control frames of one connection. */
export class ControlStream extends Duplex {
  readonly #socket: Socket;
  readonly #written: (bytes: Uint8Array) => void;
  #isFull = false;
  #hasEnded = false;
  #isHandedOver = false;

  /** @param written hears of frames that have been handed to the socket */
  constructor(socket: Socket, written: (bytes: Uint8Array) => void = () => undefined) {
    super();
    this.#socket = socket;
    this.#written = written;
    socket.setNoDelay(true);
    // Node's HTTP/2 must not see the end: it would shut its side down, and fail an assertion if it had anything to write meanwhile.
    socket.once("end", () => {
      this.#hasEnded = true;
      this.#leaveOnceRead();
      this.on("data", () => this.#leaveOnceRead());
    });
    // What came before the end is still to be read; after a failure nothing is.
    socket.once("close", () => {
      if (!this.#hasEnded) this.destroy();
    });
  }

  /** Ends the connection when all that came has been read. A tick later, so that what was read last takes effect. */
  #leaveOnceRead(): void {
    if (this.readableLength === 0) setImmediate(() => this.destroy());
  }

  /** Whether the socket should be read no further for now; it is resumed by itself. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Bytes of control frames that have come; they are copied. */
  receive(bytes: Uint8Array): void {
    if (!this.#hasEnded && !this.destroyed) this.#isFull = !this.push(Buffer.from(bytes));
  }

  /** Others read and write the socket from now on: node's HTTP/2 has nothing to say any more, and hears nothing. */
  handOver(): void {
    this.#isHandedOver = true;
  }

  override _read(): void {
    this.#isFull = false;
    if (!this.#isHandedOver) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#send(chunk, callback);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], callback: Callback): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }

  #send(bytes: Buffer, callback: Callback): void {
    if (this.#isHandedOver) {
      callback();
      return;
    }
    this.#socket.write(bytes, callback);
    this.#written(bytes);
  }

  override _final(callback: Callback): void {
    if (this.#isHandedOver) callback();
    else this.#socket.end(() => callback());
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#socket.destroy();
    callback(error);
  }
}
