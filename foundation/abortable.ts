/** Waits that a signal ends, and signals that time ends. */

/** Waits for a promise or the signal, whichever is first: rejects with its reason then. */
export async function abortable<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  // What nobody waits for any more may fail.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    stop = () => signal.removeEventListener("abort", abort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    stop();
  }
}

/**
 * A signal that is aborted with `signal`, or after so many milliseconds with a TimeoutError. Does not keep the process alive.
 * `AbortSignal.any([signal, AbortSignal.timeout(ms)])` is not the same: nothing holds the inner signal, and once Node 20 has
 * collected it the time never ends (https://github.com/nodejs/node/issues/57736).
 */
export function signalWithin(signal: AbortSignal, ms: number): AbortSignal {
  const either = new AbortController();
  const pass = (): void => {
    clearTimeout(timer);
    either.abort(signal.reason);
  };
  // The timer and the listener hold the controller, nobody else has to.
  const timer = setTimeout(() => {
    signal.removeEventListener("abort", pass);
    either.abort(new DOMException(`not within ${ms} ms`, "TimeoutError"));
  }, ms).unref();
  if (signal.aborted) pass();
  else signal.addEventListener("abort", pass, { once: true });
  return either.signal;
}
