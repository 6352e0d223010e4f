/** What the main thread and the engine's thread say to each other: one request per call of the engine, in order. */
import type { PortableError } from "../input/input-messages.ts";
import type { Engine } from "./engine.ts";

/** How the thread starts. */
export interface EngineThreadOptions {
  /** The native binding, `tfjs_binding.node`. */
  readonly bindingFile: string;
  /** `gpu`: it is an error where TensorFlow has none. */
  readonly device: "cpu" | "gpu";
}

/** One call. Typed arrays over shared memory stay shared, all others are copied. */
export type EngineRequest = {
  readonly [Method in keyof Engine]: {
    readonly ticket: number;
    readonly method: Method;
    readonly parameters: Parameters<Engine[Method]>;
  };
}[keyof Engine];

/** Engine's thread to main thread. */
export type EngineAnswer =
  /** The binding is loaded. */
  | { readonly kind: "ready" }
  /** The thread cannot start. */
  | { readonly kind: "broken"; readonly error: PortableError }
  | { readonly kind: "done"; readonly ticket: number; readonly result: unknown }
  | { readonly kind: "failed"; readonly ticket: number; readonly error: PortableError };
