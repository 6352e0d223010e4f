/**
 * A carrier: a thread of the addon that runs collectives over two streams of its own, to the left neighbour and to the right one.
 * JavaScript hears when one is over, not of what is read and sent meanwhile: between processes that take turns on a few cores,
 * every turn of it costs as much as the kernel's copy of half a megabyte (docs/benchmarks.md, 2026-11-30).
 */
import type { CarrierAddon, CarriedListener } from "./carrier-addon.ts";
import { memoryOf, piecesAsNumbers, sumAsNumbers, type CarryOrder } from "./carry-order.ts";
import { LinkBroken } from "./link.ts";

/** What a collective has moved. */
export interface Moved {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** When each hop had been received whole, in milliseconds from the beginning. */
  readonly hopsMs: readonly number[];
}

/** Whom a carrier reaches. */
export interface CarrierEnds {
  readonly left: string;
  readonly right: string;
  /** Is aborted when the link to the neighbours is lost. */
  readonly lost: AbortSignal;
  /** Lets go of both connections. */
  close(): void;
}

/** One rank's. */
export class Carrier {
  readonly #addon: CarrierAddon;
  readonly #thread: object;
  readonly #ends: CarrierEnds;
  #isClosed = false;
  sentBytes = 0;
  receivedBytes = 0;

  constructor(addon: CarrierAddon, thread: object, ends: CarrierEnds) {
    this.#addon = addon;
    this.#thread = thread;
    this.#ends = ends;
  }

  /** Whether it can run an order: all of it has to lie in one memory. The same on all ranks. */
  takes(order: CarryOrder): boolean {
    return memoryOf(order) !== null;
  }

  /**
   * Runs a collective, which uses the order's memory until then. Rejects with LinkBroken, or with the signal's reason; the carrier is of
   * no use afterwards.
   */
  async run(order: CarryOrder, signal: AbortSignal): Promise<Moved> {
    const memory = memoryOf(order);
    const { lost, left, right } = this.#ends;
    if (memory === null) throw new RangeError("Cannot carry what does not lie in one memory");
    if (this.#isClosed) throw new LinkBroken("the carrier is closed");
    signal.throwIfAborted();
    const stop = (): void => this.#addon.stopCarrier(this.#thread);
    signal.addEventListener("abort", stop);
    lost.addEventListener("abort", stop);
    if (lost.aborted) stop();
    try {
      const moved = await new Promise<Moved>((resolve, reject) => {
        const over: CarriedListener = (...values) => {
          const [failure, side, hopsMs, sentBytes, receivedBytes] = values;
          if (failure === null) resolve({ sentBytes, receivedBytes, hopsMs });
          else if (failure === "") reject(new LinkBroken("the carrier has been stopped"));
          else if (side === "here") reject(new Error(`Cannot carry: ${failure}`));
          else
            reject(
              new LinkBroken(`${side === "left" ? left : right} has left the ring: ${failure}`),
            );
        };
        const { collective, half, sum, begun, expected, told } = order;
        this.#addon.carry(
          this.#thread,
          new Uint8Array(memory),
          collective,
          half,
          sumAsNumbers(sum),
          piecesAsNumbers(begun),
          piecesAsNumbers(expected),
          piecesAsNumbers(told),
          over,
        );
      });
      this.sentBytes += moved.sentBytes;
      this.receivedBytes += moved.receivedBytes;
      return moved;
    } catch (error) {
      this.close();
      signal.throwIfAborted();
      if (lost.aborted) throw lost.reason;
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      lost.removeEventListener("abort", stop);
    }
  }

  /** Ends it; a collective under way is stopped. Safe to call twice. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#addon.closeCarrier(this.#thread);
    this.#ends.close();
  }
}
