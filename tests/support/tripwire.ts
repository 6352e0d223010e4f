/** A signal that is aborted at a chosen moment of what it cancels: whenever that looks at it, or uses a link, is such a moment. */
import type { Link } from "../../worker/ring/link.ts";
import { linkWith } from "./watched-link.ts";

/** Moments are counted from 1. */
export interface Tripwire {
  readonly signal: AbortSignal;
  /** Moments so far. */
  readonly moments: number;
  /** Another moment. */
  touch(): void;
}

/** A signal that is aborted with `reason` at its `at`-th moment. */
export function tripwire(at: number, reason: Error): Tripwire {
  const controller = new AbortController();
  const { signal } = controller;
  let moments = 0;
  let aborted = false;
  const touch = (): void => {
    moments += 1;
    if (moments !== at) return;
    aborted = true;
    controller.abort(reason);
  };
  const listen = signal.addEventListener.bind(signal);
  Object.defineProperties(signal, {
    aborted: {
      get: () => {
        touch();
        return aborted;
      },
    },
    throwIfAborted: {
      value: () => {
        touch();
        if (aborted) throw reason;
      },
    },
    addEventListener: {
      value: (...listening: Parameters<AbortSignal["addEventListener"]>) => {
        listen(...listening);
        touch();
      },
    },
  });
  return {
    signal,
    get moments() {
      return moments;
    },
    touch,
  };
}

/** A link of which the beginning and the end of every call is a moment. */
export function touching(link: Link, touch: () => void): Link {
  const within = async <T>(call: () => Promise<T>): Promise<T> => {
    touch();
    const result = await call();
    touch();
    return result;
  };
  return linkWith(link, {
    send: (chunk, signal) => within(() => link.send(chunk, signal)),
    flush: (signal) => within(() => link.flush(signal)),
    receive: (signal) => within(() => link.receive(signal)),
  });
}
