/** Hands out aligned views of one shared memory, which cannot move. */
import { firstFree, loadKernels, type ExactKernels } from "./kernels.ts";
import type { MemoryFile, MemoryFiles } from "./memory-files.ts";
import type { Integers, MemoryLoops, NativeLoops } from "./native-loops.ts";

const pageBytes = 65_536;
/** Bytes that WebAssembly can address. */
export const arenaBytesMax = 65_536 * pageBytes;
/** Bytes: TensorFlow writes into memory of ours only where it starts at such a multiple (and WebAssembly loads 16). */
const alignment = 64;

/** Bytes that a view takes. */
export function arenaBytes(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** Bytes of the operand that an arena has room for: with its like it fits a processor's second-level cache. */
export const operandBytesMax = 128 * 1024;

/** Bytes that an arena takes beside its views. */
export const arenaOwnBytes = firstFree + operandBytesMax;

/** What can be computed in one memory. */
export interface ArenaKernels {
  readonly kernels: ExactKernels;
  /** Memory for what is combined with the arena's vectors; whoever uses it does not wait meanwhile. */
  readonly operand: Uint8Array;
  /** The arena's, for other programs that are to compute in it. */
  readonly memory: WebAssembly.Memory;
  /** What others of the host can map to read the memory; null where they cannot. */
  readonly file: MemoryFile | null;
  /** Loops over the memory for this processor; null where there are WebAssembly's only. */
  readonly native: MemoryLoops | null;
  /** Makes others, for what keeps a hash of its own in them; null likewise. */
  readonly loops: NativeLoops | null;
}

/** What an arena can be made with. */
export interface ArenaMeans {
  /** Lets other processes of the host read the memory where they can; by default they cannot. */
  readonly files?: MemoryFiles | null;
  /** Loops for this processor; by default WebAssembly's. */
  readonly loops?: NativeLoops | null;
}

const kernelsByMemory = new WeakMap<ArrayBufferLike, ArenaKernels>();

/** The kernels of the arena that a view is of, or null for other memory. */
export function kernelsOf(view: ArrayBufferView): ArenaKernels | null {
  return kernelsByMemory.get(view.buffer) ?? null;
}

/**
 * `target.set(source)` for the memory of an arena. To or from memory that threads share V8 copies word by word, which takes
 * twice as long.
 */
export function copyBytes(target: Uint8Array, source: Uint8Array): void {
  const native = kernelsOf(target)?.native ?? null;
  if (native === null) target.set(source);
  else native.copy(target, source);
}

/** `target.set(source)` for integers of which one or the other lie in an arena; all have to fit into the target's. */
export function convertIntegers(target: Integers, source: Integers): void {
  const native = (kernelsOf(target) ?? kernelsOf(source))?.native ?? null;
  if (native === null) target.set(source);
  else native.convert(target, source);
}

/** Where a view lies in what others of the host can map; null for what they cannot reach. */
export function placeInFile(
  view: ArrayBufferView,
): { readonly file: MemoryFile; readonly position: number } | null {
  const file = kernelsOf(view)?.file ?? null;
  return file && { file, position: view.byteOffset };
}

function layUnder(memory: WebAssembly.Memory, files: MemoryFiles): MemoryFile | null {
  try {
    return files.layUnder(memory);
  } catch {
    // Nobody else reads it then.
    return null;
  }
}

/** One memory for vectors that threads and kernels share. */
export class Arena {
  readonly kernels: ExactKernels;
  /** As that of `ArenaKernels`. */
  readonly operand: Uint8Array;
  readonly #memory: WebAssembly.Memory;
  #top = firstFree;

  /**
   * @param bytes sum of `arenaBytes` of all views. Throws RangeError where the system has not as many.
   */
  constructor(bytes: number, { files = null, loops = null }: ArenaMeans = {}) {
    const pages = Math.ceil((arenaOwnBytes + bytes) / pageBytes);
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const file = files === null ? null : layUnder(this.#memory, files);
    const native = loops?.(this.#memory) ?? null;
    this.kernels = loadKernels(this.#memory, native);
    this.operand = this.bytes(operandBytesMax);
    kernelsByMemory.set(this.#memory.buffer, {
      kernels: this.kernels,
      operand: this.operand,
      memory: this.#memory,
      file,
      native,
      loops,
    });
  }

  floats(length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, this.#take(length * 4), length);
  }

  doubles(length: number): Float64Array {
    return new Float64Array(this.#memory.buffer, this.#take(length * 8), length);
  }

  words(length: number): Uint32Array {
    return new Uint32Array(this.#memory.buffer, this.#take(length * 4), length);
  }

  bytes(length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.#take(length), length);
  }

  #take(bytes: number): number {
    const offset = this.#top;
    this.#top += arenaBytes(bytes);
    return offset;
  }
}
