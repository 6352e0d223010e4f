/**
 * Which part of the trainable vector a rank keeps the optimiser's state of, and updates, with `--zero-stage 1` (Rajbhandari
 * et al. 2020, "ZeRO", arXiv 1910.02054, stage 1). Pure.
 */

/** Elements `start` to `end` (exclusive) of the trainable vector. */
export interface ElementRange {
  readonly start: number;
  readonly end: number;
}

/** What a rank has: ranges in ascending order that do not touch; none of no element. */
export type Share = readonly ElementRange[];

/** A range of a share, and where it begins in a vector of the share alone. */
export interface PlacedRange extends ElementRange {
  readonly at: number;
}

/** Elements of 64 bytes: TensorFlow uses memory of ours where it lies only if it begins at a multiple of them. */
const unit = 16;

/** Lays the ranges of a share out in a vector of their own, each at a multiple of 64 bytes. */
export function placeShare(share: Share): readonly PlacedRange[] {
  let at = 0;
  return share.map(({ start, end }) => {
    const placed = { start, end, at };
    at += Math.ceil((end - start) / unit) * unit;
    return placed;
  });
}

/** Elements of a vector of a share alone, those between its ranges included. */
export function shareLength(share: Share): number {
  const last = placeShare(share).at(-1);
  return last === undefined ? 0 : last.at + last.end - last.start;
}

/** The share that is all of a vector. */
export function wholeShare(length: number): Share {
  return length === 0 ? [] : [{ start: 0, end: length }];
}
