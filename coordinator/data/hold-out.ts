/**
 * Splits records off for validation by a hash of what they say, so that the same text is always on the same side: in every
 * run, whatever the order of the file, and all its duplicates with it.
 */
import { hash } from "node:crypto";
import { createChunkedArray, type ChunkedArray } from "./chunked-array.ts";

const hashedHexDigits = 12;

/** A number from 0 to below 1 from SHA-256 of the texts (UTF-8, a zero byte between them); the label plays no part. */
export function stableShare(text: string, textPair: string | undefined): number {
  const digest = hash("sha256", `${text}\0${textPair ?? ""}`, "hex");
  return Number.parseInt(digest.slice(0, hashedHexDigits), 16) / 16 ** hashedHexDigits;
}

/** Two parts of a list of records, each addressed from 0. In memory: four bytes for each record that is held out. */
export interface HoldOut {
  readonly keptCount: number;
  readonly heldCount: number;
  /** Record number of the i-th that is kept, or held out. */
  kept(index: number): number;
  held(index: number): number;
}

/** Takes records in order. */
export interface HoldOutBuilder {
  add(text: string, textPair: string | undefined): void;
  finish(): HoldOut;
}

/** How many kept records stand before the one that is held out as number `place`. */
function keptBefore(held: ChunkedArray, place: number): number {
  return held.at(place) - place;
}

/** Holds out the records whose `stableShare` lies below `share`. */
export function createHoldOutBuilder(share: number): HoldOutBuilder {
  const held = createChunkedArray((size) => new Uint32Array(size));
  let count = 0;
  return {
    add(text, textPair) {
      if (stableShare(text, textPair) < share) held.push(count);
      count += 1;
    },
    finish: () => ({
      keptCount: count - held.length,
      heldCount: held.length,
      held: (index) => held.at(index),
      kept(index) {
        let low = 0;
        let high = held.length;
        while (low < high) {
          const middle = (low + high) >>> 1;
          if (keptBefore(held, middle) <= index) low = middle + 1;
          else high = middle;
        }
        return index + low;
      },
    }),
  };
}
