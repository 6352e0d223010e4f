/** Something that took time in a worker: what traces and summaries are made of. */

/** Whose time it was. `ops` are what TensorFlow's own threads did for the engine. */
export type Track = "main" | "engine" | "input" | "ops";

/** One stretch of time on one track. Times are milliseconds of the worker's clock. */
export interface Span {
  readonly track: Track;
  /** The activity, or the op's kind. */
  readonly name: string;
  /** Says more: a graph node, a microbatch; empty for nothing. */
  readonly detail: string;
  /** Shape of the result, such as `[1024,384]`; empty for none. */
  readonly shape: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Floating point operations of the matrix products in it. */
  readonly flops: number;
  /** Bytes of the result; 0 when not known. */
  readonly bytes: number;
}

/** A span without numbers of its own. */
export function plainSpan(
  track: Track,
  name: string,
  time: { readonly startMs: number; readonly endMs: number },
  detail = "",
): Span {
  return { track, name, detail, shape: "", ...time, flops: 0, bytes: 0 };
}
