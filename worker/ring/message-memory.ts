/** Memory for messages that arrive, used again and again: memory made anew for each would be half of the work. */

/** Messages below this many bytes get memory of their own. */
const sharedBytesMin = 16 * 1024;
/** Pieces of memory that are kept: as many as wait to be taken, and one that is. */
const keptMax = 5;

/** Bytes: a payload is copied on by words where it begins at such a multiple, otherwise byte by byte. */
const alignment = 64;

/** Lends memory for one message each. */
export class MessageMemory {
  readonly #bytes: number;
  readonly #isShared: boolean;
  readonly #free: ArrayBufferLike[] = [];

  /**
   * @param bytesMax of the longest message
   * @param isShared whether other threads are to read it
   */
  constructor(bytesMax: number, isShared: boolean) {
    this.#bytes = bytesMax + alignment;
    this.#isShared = isShared;
  }

  /**
   * Memory for a message.
   * @param length its bytes
   * @param payloadAt where its payload begins: that place is aligned
   */
  take(length: number, payloadAt: number): Uint8Array {
    const start = alignment - (payloadAt % alignment);
    const kept = length < sharedBytesMin ? undefined : this.#free.pop();
    const bytes = length < sharedBytesMin ? alignment + length : this.#bytes;
    return new Uint8Array(kept ?? this.#make(bytes), start, length);
  }

  #make(bytes: number): ArrayBufferLike {
    return this.#isShared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  }

  /** Takes memory back that nobody reads any more: what `take` has lent. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength === this.#bytes && this.#free.length < keptMax) this.#free.push(buffer);
  }
}
