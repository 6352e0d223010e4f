/**
 * The sequence lengths that are compiled: few, because each is a program to record, and close together where texts are
 * short, because padding is work. Pure.
 */
import type { JobSettings } from "../../foundation/job/settings.ts";

/** All candidates up to this many lengths, then only the powers of two among them. */
const bucketsMax = 5;
const candidates = [32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096];

/** Lengths in ascending order; the last is the longest sequence. */
export function bucketLengthsOf(
  maxLength: number,
  padding: JobSettings["padding"],
): readonly number[] {
  if (padding === "max_length") return [maxLength];
  const below = candidates.filter((length) => length < maxLength);
  const isPowerOfTwo = (length: number): boolean => Number.isInteger(Math.log2(length));
  const kept = below.length < bucketsMax ? below : below.filter(isPowerOfTwo);
  return [...kept, maxLength];
}
