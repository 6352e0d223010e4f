/** Whether a job computes sequences without padding. Pure. */
import { traitsOf } from "../device.ts";
import type { JobSettings } from "./settings.ts";

/** What decides it. */
type Deciding = Pick<JobSettings, "padding" | "bucketLengths" | "device" | "eager">;

/**
 * Whether sequences lie one behind the other: where nothing else is asked for, several lengths included, and kernels compute it,
 * which some devices and eager runs lack.
 */
export function packsSequences({ padding, bucketLengths, device, eager }: Deciding): boolean {
  return padding === "none" && bucketLengths.length <= 1 && traitsOf(device).hasKernels && !eager;
}

const packedUnit = 16;

/**
 * Packed tokens, filled up to a multiple of 16: oneDNN prepares a product for each number of rows, and multiplies whole registers
 * of them fastest.
 */
export function packedLength(tokens: number): number {
  return Math.ceil(tokens / packedUnit) * packedUnit;
}
