/**
 * Hashes of tensors, by which ranks and runs are compared: XXH64 of a tensor's float32 values in little-endian order. It
 * finds accidents, not forgers, at a speed that leaves a step alone: on one core 4–5 GB/s, where Node's SHA-256 makes
 * 1.4. What is handed out, checkpoints and models, is proved by SHA-256.
 */
import { readFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { kernelsOf } from "../exact/arena.ts";
import type { HashLoops } from "../exact/native-loops.ts";

const stripeBytes = 32;
/** Bytes that are copied and hashed at a time, for memory that is no arena: they stay in a core's own cache meanwhile. */
const slabBytes = 131_072;
/** Bytes after which others of the thread have a turn: a neighbour of the ring may still wait for its chunks. */
const turnBytes = 1_048_576;
const pageBytes = 65_536;

const module = new WebAssembly.Module(readFileSync(new URL("./xxh64.wasm", import.meta.url)));

function loadXxh64(memory: WebAssembly.Memory): HashLoops {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const { start, stripes, finish } = exports;
  for (const loop of [start, stripes, finish]) {
    if (typeof loop !== "function") throw new Error("Cannot use xxh64.wasm as it lacks a function");
  }
  return {
    start: start as HashLoops["start"],
    stripes: stripes as HashLoops["stripes"],
    finish: finish as HashLoops["finish"],
  };
}

/** Hashes one vector after the other: calls must not overlap. What lies in an arena is hashed where it is. */
export class TensorHasher {
  readonly #slab: Uint8Array;
  readonly #xxh64: HashLoops;
  readonly #inArenas = new WeakMap<WebAssembly.Memory, HashLoops>();
  /** Bytes since others of the thread had a turn. */
  #sinceTurn = 0;

  constructor() {
    const pages = slabBytes / pageBytes;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#slab = new Uint8Array(memory.buffer);
    this.#xxh64 = loadXxh64(memory);
  }

  /**
   * The hash of each tensor of a vector, in order. Rejects with the signal's reason.
   * @param sizes elements of each tensor; what follows them in the vector is left out
   */
  hashTensors(
    vector: Float32Array,
    sizes: readonly number[],
    signal: AbortSignal,
  ): Promise<bigint[]> {
    let start = vector.byteOffset;
    const tensors = sizes.map((size) => {
      const bytes = new Uint8Array(vector.buffer, start, size * Float32Array.BYTES_PER_ELEMENT);
      start += bytes.length;
      return [bytes];
    });
    return this.hashPieces(tensors, signal);
  }

  /** The hash of each list of pieces, as if a list's were one after the other in memory. Rejects with the signal's reason. */
  async hashPieces(
    lists: readonly (readonly Uint8Array[])[],
    signal: AbortSignal,
  ): Promise<bigint[]> {
    const hashes: bigint[] = [];
    for (const pieces of lists) {
      const [only, second] = pieces;
      const inArena = only === undefined || second !== undefined ? null : this.#inArenaOf(only);
      const hash =
        inArena === null || only === undefined
          ? await this.#hashCopied(pieces, signal)
          : await this.#hashInPlace(inArena, only, signal);
      hashes.push(BigInt.asUintN(64, hash));
    }
    return hashes;
  }

  /** What hashes in the arena that bytes lie in; null for other memory. */
  #inArenaOf(bytes: Uint8Array): HashLoops | null {
    const arena = kernelsOf(bytes);
    if (arena === null) return null;
    const { memory, loops } = arena;
    const known = this.#inArenas.get(memory);
    if (known !== undefined) return known;
    // Of its own: another hasher may be in the middle of the same arena.
    const loaded = loops?.(memory) ?? loadXxh64(memory);
    this.#inArenas.set(memory, loaded);
    return loaded;
  }

  async #hashInPlace(xxh64: HashLoops, bytes: Uint8Array, signal: AbortSignal): Promise<bigint> {
    const whole = bytes.length - (bytes.length % stripeBytes);
    xxh64.start();
    for (let at = 0; at < whole; at += slabBytes) {
      const taken = Math.min(slabBytes, whole - at);
      xxh64.stripes(bytes.byteOffset + at, taken / stripeBytes);
      await this.#took(taken, signal);
    }
    return xxh64.finish(BigInt(bytes.length), bytes.byteOffset + whole);
  }

  async #hashCopied(pieces: readonly Uint8Array[], signal: AbortSignal): Promise<bigint> {
    this.#xxh64.start();
    let held = 0;
    let total = 0;
    for (const piece of pieces) {
      total += piece.length;
      for (let at = 0; at < piece.length;) {
        const part = piece.subarray(at, at + slabBytes - held);
        this.#slab.set(part, held);
        at += part.length;
        held += part.length;
        if (held < slabBytes) continue;
        this.#xxh64.stripes(0, slabBytes / stripeBytes);
        held = 0;
        await this.#took(slabBytes, signal);
      }
    }
    const whole = Math.floor(held / stripeBytes);
    this.#xxh64.stripes(0, whole);
    return this.#xxh64.finish(BigInt(total), whole * stripeBytes);
  }

  /** Lets others of the thread have a turn where it is time. Rejects with the signal's reason. */
  async #took(bytes: number, signal: AbortSignal): Promise<void> {
    this.#sinceTurn += bytes;
    if (this.#sinceTurn < turnBytes) return;
    this.#sinceTurn = 0;
    await turn();
    signal.throwIfAborted();
  }
}
