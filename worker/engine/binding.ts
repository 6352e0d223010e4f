/** The native binding of tfjs-node, compiled by foundation/native: the few calls that are made of it. */
import { createRequire } from "node:module";
import type * as util from "node:util";

/** A tensor as the binding hands it back. */
export interface TensorMetadata {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

/** An attribute of an op. */
export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: boolean | number | object | string | number[];
}

/** Values of a tensor in JavaScript. */
export type TensorValues = Float32Array | Int32Array | Uint8Array;

/** The binding. Tensors live until they are deleted by id. */
export interface TensorFlowBinding {
  createTensor(shape: number[], dtype: number, values: TensorValues): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): TensorValues;
  executeOp(
    name: string,
    attributes: OpAttribute[],
    inputs: number[],
    outputCount: number,
  ): TensorMetadata[];
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(
    id: number,
    inputs: number[],
    inputNames: string,
    outputNames: string,
  ): TensorMetadata[];
  getNumOfTensors(): number;
  isUsingGpuDevice(): boolean;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  readonly TF_BOOL: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_SHAPE: number;
  readonly TF_Version: string;
}

/** The binding as we compile it (foundation/native/binding-patch.ts). */
export interface OwnBinding extends TensorFlowBinding {
  /** Has TensorFlow note what the next `runSavedModel` of this thread does. */
  traceNextRun(): void;
  /** What it has noted: a serialised RunMetadata, empty where nothing was traced. */
  takeRunTrace(): ArrayBuffer;
  /** Gives the system back what only the start has needed: pages of TensorFlow's libraries, freed memory. Linux only. */
  releaseMemory(): void;
  /** Gives back the pages that lie whole within an array, which hold zeros from then on. Linux only. */
  releasePages(bytes: Uint8Array): void;
}

/** `require` of this package, for what is CommonJS or native. */
export const requireHere = createRequire(import.meta.url);

/** Loads the binding from its file. TensorFlow reads its environment variables now and never again. */
export function loadBinding(file: string): OwnBinding {
  // Node 23 removed these two, which tfjs-node's backend calls.
  const legacy: { isNullOrUndefined?: unknown; isArray?: unknown } = requireHere(
    "node:util",
  ) as typeof util;
  legacy.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  legacy.isArray ??= (value: unknown) => Array.isArray(value);
  const binding: unknown = requireHere(file);
  if (typeof binding !== "object" || binding === null || !("traceNextRun" in binding)) {
    throw new Error(`Cannot use ${file} as TensorFlow binding: it lacks traceNextRun`);
  }
  return binding as OwnBinding;
}
