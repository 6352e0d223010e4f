/**
 * The hot loops for the processor at hand (`native/hot_loops.h`): with registers of 32 or 64 bytes they take a half to a third of
 * the time that WebAssembly's take with 16, and give the same bits. They compute in an arena's memory as those do, so a
 * memory has the ones or the others, loop by loop.
 */
import { createRequire } from "node:module";
import { z } from "zod";

/** A loop; pointers are byte offsets into the memory. Throws an Error where they reach beyond it. */
export type Loop = (...pointers: number[]) => number | void;

/** The hash that is being made of bytes of a memory (`../hashing/tensor-hasher.ts`). */
export interface HashLoops {
  start(): void;
  stripes(data: number, count: number): void;
  finish(total: bigint, tail: number): bigint;
}

/** Loops over one memory, named as WebAssembly's. */
export interface MemoryLoops extends HashLoops {
  readonly raiseExponents: Loop;
  readonly quantise: Loop;
  readonly scaleBack: Loop;
  readonly sumAlone: Loop;
  readonly addIntegers: Loop;
  /** Copies bytes of any memory to the front of others, which must have room. */
  copy(target: Uint8Array, source: Uint8Array): void;
  /** The same of integers, which have to fit into the target's. */
  convert(target: Integers, source: Integers): void;
}

/** Integers of any width. */
export type Integers = Int32Array | Int16Array | Int8Array;

/** Gives the loops over a memory; null where this processor has none. */
export type NativeLoops = (memory: WebAssembly.Memory) => MemoryLoops | null;

const call = z.custom<(...values: unknown[]) => unknown>((value) => typeof value === "function");
const addonSchema = z.object({ loopsOver: call });
/** Those that WebAssembly has too. */
export const loopNames = [
  "raiseExponents",
  "quantise",
  "scaleBack",
  "sumAlone",
  "addIntegers",
] as const;
const loopsSchema = z.object(
  Object.fromEntries(
    [...loopNames, "start", "stripes", "finish", "copy", "convert"].map(
      (name) => [name, call] as const,
    ),
  ),
);

function areLoops(value: unknown): value is MemoryLoops {
  return loopsSchema.safeParse(value).success;
}

/** Loads the addon. Null where it cannot be loaded, or has no loops for this processor. */
export function loadNativeLoops(addonFile: string): NativeLoops | null {
  try {
    const { loopsOver } = addonSchema.parse(createRequire(import.meta.url)(addonFile));
    const over: NativeLoops = (memory) => {
      const loops = loopsOver(new Uint8Array(memory.buffer));
      return areLoops(loops) ? loops : null;
    };
    const probe = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    return over(probe) === null ? null : over;
  } catch {
    return null;
  }
}
