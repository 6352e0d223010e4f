/** In how many pieces gradients are exchanged, if nobody says another number. Pure. */

/** Buckets over a network: what of the last one is left to be waited for is a small part. */
const bucketsOverNetwork = 8;
/** Bytes of the vector for a bucket, at least: each costs two collectives' hops, or a turn of a thread. */
const bucketBytesMin = 1024 * 1024;

/** As many buckets as pay for a vector of so many bytes, at most `most`. */
export function asManyAsPay(most: number, bytes: number): number {
  return Math.max(1, Math.min(most, Math.floor(bytes / bucketBytesMin)));
}

/** In how many buckets to exchange a vector over a network. @param wanted null for as many as pay */
export function networkBuckets(wanted: number | null, bytes: number): number {
  return wanted ?? asManyAsPay(bucketsOverNetwork, bytes);
}
