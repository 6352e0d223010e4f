/** Bytes that a worker exchanges in a ring, counted from report to report. */
import type { RingCounters } from "./ring/ring.ts";

type Counted = Pick<RingCounters, "bytesSent" | "bytesReceived">;

/** One ring's. */
export class Traffic {
  #told: Counted | null = null;

  /** A step begins. What came before the first one made the ring and is nobody's. */
  begin({ bytesSent, bytesReceived }: Counted): void {
    this.#told ??= { bytesSent, bytesReceived };
  }

  /** Bytes since they were last told of: a step's, and what the update of the step before took. */
  tell({ bytesSent, bytesReceived }: Counted): Counted {
    const since = {
      bytesSent: bytesSent - (this.#told?.bytesSent ?? 0),
      bytesReceived: bytesReceived - (this.#told?.bytesReceived ?? 0),
    };
    this.#told = { bytesSent, bytesReceived };
    return since;
  }
}
