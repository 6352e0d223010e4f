/**
 * What every streaming handler needs: the signal that a call is over, writing with back-pressure, errors with canonical
 * codes.
 */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { status } from "@grpc/grpc-js";
import type { StatusObject } from "@grpc/grpc-js";

/** An error that ends a call with this status. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: status;
  readonly details: string;
  /** @param code canonical gRPC code @param details one line for the caller */
  constructor(code: status, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

/** The status that a handler's error ends its call with. */
export function statusOf(error: unknown): Partial<StatusObject> {
  if (error instanceof CallError) return { code: error.code, details: error.details };
  if (error instanceof RangeError) {
    return { code: status.INVALID_ARGUMENT, details: error.message };
  }
  const details = error instanceof Error ? error.message : String(error);
  return { code: status.INTERNAL, details };
}

/** A signal that is aborted once the call is cancelled or its connection is gone. */
export function signalOf(call: {
  once(event: "cancelled", listener: () => void): unknown;
  readonly cancelled: boolean;
}): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new CallError(status.CANCELLED, "the call is over"));
  if (call.cancelled) abort();
  else call.once("cancelled", abort);
  return controller.signal;
}

/** Writes all messages of a source, waiting whenever the stream has enough to send. Does not end the stream. */
export async function writeAll<Message>(
  stream: Writable,
  source: AsyncIterable<Message> | Iterable<Message>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of source) {
    signal.throwIfAborted();
    if (!stream.write(message)) await once(stream, "drain", { signal });
  }
}
