/**
 * Memory of this process that other processes of the host can read: a file without a name, made by the kernel, lies under an
 * arena, and others open it through `/proc` and map it. No byte is copied to be shown. Only this user's processes can; nothing is
 * left whatever dies; and a file that can neither grow nor shrink cannot be pulled from under a reader.
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { z } from "zod";

/** Names a file among all of a host. */
export interface MemoryFile {
  readonly processId: number;
  /** Number of the file in that process. */
  readonly descriptor: number;
  readonly device: bigint;
  readonly inode: bigint;
  readonly bytes: number;
}

/** Another process's memory. */
export interface MappedMemory {
  /** Copies the bytes from `position` on into `target`. Throws beyond the end, and once it is closed. */
  read(position: number, target: Uint8Array): void;
  close(): void;
}

/** What of the addon is compiled from `native/memory_files.cc`. */
interface Addon {
  readonly isSupported: boolean;
  layUnder(bytes: Uint8Array): number;
  map(descriptor: number, bytes: number): object;
  read(mapping: object, position: number, target: Uint8Array): void;
  order(): void;
  unmap(mapping: object): void;
}

const call = z.custom<(...values: unknown[]) => unknown>((value) => typeof value === "function");
const addonSchema = z.object({
  isSupported: z.boolean(),
  layUnder: call,
  map: call,
  read: call,
  order: call,
  unmap: call,
});

function isAddon(value: unknown): value is Addon {
  return addonSchema.safeParse(value).success;
}

const pageBytes = 65_536;
/** Files that cannot be mapped until no more are tried: a process may have ended, but a system that refuses goes on refusing. */
const failuresMax = 3;

/** Files of this process, and those of others. */
export class MemoryFiles {
  /** A small file, by which others find out whether they can open what this process shows. */
  readonly probe: MemoryFile;
  readonly #addon: Addon;
  /** Keeps the probe's memory. */
  readonly #probed: WebAssembly.Memory;
  /** What nobody can open any more needs no descriptor; the memory itself stays as long as somebody has mapped it. */
  readonly #ended = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));
  #failures = 0;

  private constructor(addon: Addon) {
    this.#addon = addon;
    this.#probed = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    this.probe = this.layUnder(this.#probed);
  }

  /** Loads the addon and tries it. Null where it cannot be loaded, or the system has no such files or does not let them be used. */
  static load(addonFile: string): MemoryFiles | null {
    try {
      const addon: unknown = createRequire(import.meta.url)(addonFile);
      if (!isAddon(addon) || !addon.isSupported) return null;
      const files = new MemoryFiles(addon);
      files.map(files.probe).close();
      return files;
    } catch {
      return null;
    }
  }

  /** Whether it is worth trying. */
  get canMap(): boolean {
    return this.#failures < failuresMax;
  }

  /** Has others see what was written before this before what is written after it: a signal must not overtake its data. */
  order(): void {
    this.#addon.order();
  }

  /** Puts a file under a memory that nothing has been written to. Throws where the system refuses. */
  layUnder(memory: WebAssembly.Memory): MemoryFile {
    const bytes = memory.buffer.byteLength;
    if (bytes % pageBytes !== 0) throw new RangeError(`Cannot lay a file under ${bytes} bytes`);
    const descriptor = this.#addon.layUnder(new Uint8Array(memory.buffer));
    this.#ended.register(memory.buffer, descriptor);
    const { dev, ino } = fstatSync(descriptor, { bigint: true });
    return { processId: process.pid, descriptor, device: dev, inode: ino, bytes };
  }

  /** Maps a file. Throws where it cannot be opened, or is another one than is meant. */
  map(file: MemoryFile): MappedMemory {
    try {
      return this.#map(file);
    } catch (error) {
      this.#failures += 1;
      throw error;
    }
  }

  #map({ processId, descriptor, device, inode, bytes }: MemoryFile): MappedMemory {
    // What a number stands for may be a pipe by now, which would be waited for.
    const { O_RDONLY, O_NONBLOCK } = constants;
    const opened = openSync(`/proc/${processId}/fd/${descriptor}`, O_RDONLY | O_NONBLOCK);
    let mapping: object;
    try {
      // Numbers of processes are used again, and a container has numbers of its own.
      const { dev, ino } = fstatSync(opened, { bigint: true });
      if (dev !== device || ino !== inode) throw new Error("Cannot map another file than is meant");
      mapping = this.#addon.map(opened, bytes);
    } finally {
      closeSync(opened);
    }
    return {
      read: (position, target) => this.#addon.read(mapping, position, target),
      close: () => this.#addon.unmap(mapping),
    };
  }
}
