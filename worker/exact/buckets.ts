/**
 * Buckets: parts of the vector that are exchanged together, while the parts before them are still being computed. Pure. The
 * backward pass makes the last layers' gradients first, so buckets are cut from the vector's end:
 *
 *   parts      0 (rows)   1   2   3   4   5   6   7   loss, weight
 *   buckets   └──── third ────┘ └─ second ─┘ └────── first ──────┘
 *
 * Rows are known only when the program is over, so all row parts go with the last bucket, wherever they are. Sums do not
 * depend on buckets: blocks never cross a part.
 */
import { asManyAsPay, networkBuckets } from "../../foundation/gradient-buckets.ts";
import type { RowPart } from "./block-layout.ts";

/** Parts `[first, end)`, no row part among them; the last bucket has the row parts besides, its own and all others. */
export interface Bucket {
  readonly first: number;
  readonly end: number;
  readonly isLast: boolean;
}

/** Buckets of a worker that is alone: it adds up and hashes on one thread, which then leaves less of the other cores idle. */
const bucketsAlone = 12;

/**
 * In how many buckets to exchange a vector.
 * @param wanted null for as many as pay: one where several ranks share a host, whose cores the exchange would take from computing
 * @param bytes of the vector
 */
export function bucketCount(
  wanted: number | null,
  ring: { readonly worldSize: number; readonly sharesHost: boolean },
  bytes: number,
): number {
  if (ring.worldSize === 1) return wanted ?? asManyAsPay(bucketsAlone, bytes);
  if (wanted === null && ring.sharesHost) return 1;
  return networkBuckets(wanted, bytes);
}

/** What is cut. */
export interface BucketForm {
  /** Elements of each part. */
  readonly partSizes: readonly number[];
  /** Parts that come by rows. */
  readonly rowParts: readonly RowPart[];
}

/**
 * Cuts parts into buckets of about the same size, in the order in which they are exchanged.
 * @param wanted.count there are fewer where parts are few or of very different sizes, and more where row parts lie between
 * @param wanted.microbatches whose rows the last bucket may have to hold
 */
export function cutBuckets(
  { partSizes, rowParts }: BucketForm,
  { count, microbatches }: { readonly count: number; readonly microbatches: number },
): readonly Bucket[] {
  const byRows = new Set(rowParts.map(({ part }) => part));
  const sizeOf = (part: number): number => (byRows.has(part) ? 0 : (partSizes[part] ?? 0));
  const whole = partSizes.reduce((sum, _, part) => sum + sizeOf(part), 0);
  const inRows = rowParts.reduce((sum, { part, rows, capacity }) => {
    return sum + ((partSizes[part] ?? 0) / rows) * Math.min(rows, capacity * microbatches);
  }, 0);
  // Nothing hides the last bucket: where rows are a share already, whole parts are left to the others.
  const share = Math.min((whole + inRows) / count, whole / Math.max(1, count - 1));
  const buckets: Bucket[] = [];
  let end = partSizes.length;
  let held = 0;
  /** Elements that should be in buckets after the next cut. */
  let target = share;
  const cut = (first: number): void => {
    if (end > first) buckets.push({ first, end, isLast: false });
    end = first;
  };
  for (let part = partSizes.length - 1; part > 0 && count > 1; part--) {
    if (byRows.has(part)) {
      cut(part + 1);
      end = part;
      continue;
    }
    held += sizeOf(part);
    // Where most of the next part would lie beyond this bucket's share.
    const isReached = held + sizeOf(part - 1) / 2 > target - 0.5;
    if (!isReached || target > share * (count - 0.5)) continue;
    cut(part);
    target = share * Math.max(Math.round(target / share), Math.round(held / share)) + share;
  }
  buckets.push({ first: 0, end, isLast: true });
  return buckets;
}
