/** What the main thread and the input thread say to each other. */
import { BadInput, type BadInputPlace } from "../../foundation/bad-input.ts";
import type { SampleRecord } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Batch } from "../model/model.ts";
import type { Collation } from "./collation-log.ts";

/** How samples of this job become batches. */
export interface InputSettings {
  readonly family: string;
  readonly configJson: string;
  readonly tokenizerFiles: ReadonlyMap<string, Uint8Array>;
  readonly bucketLengths: readonly number[];
  /** Whether sequences lie one behind the other, without padding. Default false. */
  readonly packed?: boolean;
  /** Tokens. */
  readonly maxLength: number;
}

/** Main thread to input thread: one microbatch to collate. Answered in the order of asking. */
export interface CollateRequest {
  readonly ticket: number;
  readonly samples: readonly SampleRecord[];
  /** Rows of the batch; missing samples become padding rows. */
  readonly microbatchSize: number;
}

/** An error that can cross threads. */
export type PortableError =
  | { readonly kind: "bad-input"; readonly place: BadInputPlace }
  | { readonly kind: "failure"; readonly message: string; readonly stack: string };

/** Input thread to main thread. */
export type CollateAnswer =
  | { readonly kind: "ready" }
  | {
      readonly kind: "collated";
      readonly ticket: number;
      readonly batch: Batch;
      readonly collation: Collation;
    }
  | { readonly kind: "failed"; readonly ticket: number; readonly error: PortableError }
  /** The thread cannot start. */
  | { readonly kind: "broken"; readonly error: PortableError };

/** Takes an error apart. */
export function packError(error: unknown): PortableError {
  if (error instanceof BadInput) return { kind: "bad-input", place: error.place };
  if (error instanceof Error) {
    return { kind: "failure", message: error.message, stack: error.stack ?? "" };
  }
  return { kind: "failure", message: String(error), stack: "" };
}

/** Puts an error together again. */
export function unpackError(packed: PortableError): Error {
  if (packed.kind === "bad-input") return new BadInput(packed.place);
  const error = new Error(packed.message);
  if (packed.stack !== "") error.stack = packed.stack;
  return error;
}
