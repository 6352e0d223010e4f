/** What of the addon is compiled from `../exact/native/carrier.cc`: threads that run collectives over two sockets. */
import { createRequire } from "node:module";
import { z } from "zod";

/** Hears that a collective is over: why it has failed, and on which side; null if it has not, an empty text if it was stopped. */
export type CarriedListener = (
  ...values: readonly [
    failure: string | null,
    side: string,
    hopsMs: readonly number[],
    sentBytes: number,
    receivedBytes: number,
  ]
) => void;

/** The addon's functions; `carrier.h` says what they take. All throw an Error for what makes no sense. */
export interface CarrierAddon {
  /** Null where this system or processor has no carriers. */
  openCarrier(...numbers: readonly number[]): object | null;
  carry(
    carrier: object,
    memory: Uint8Array,
    collective: number,
    half: number,
    ...rest: readonly [...Float64Array[], CarriedListener]
  ): void;
  stopCarrier(carrier: object): void;
  closeCarrier(carrier: object): void;
}

const call = z.custom<(...values: unknown[]) => unknown>((value) => typeof value === "function");
const addonSchema = z.object({
  openCarrier: call,
  carry: call,
  stopCarrier: call,
  closeCarrier: call,
});

function isAddon(value: unknown): value is CarrierAddon {
  return addonSchema.safeParse(value).success;
}

/** Loads the addon; null where it cannot be loaded. */
export function loadCarriers(addonFile: string): CarrierAddon | null {
  try {
    const addon: unknown = createRequire(import.meta.url)(addonFile);
    return isAddon(addon) ? addon : null;
  } catch {
    return null;
  }
}
