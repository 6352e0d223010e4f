/**
 * The sequence lengths that are compiled: few, because each is a program to record, and close together where texts are
 * short, because padding is work. Pure.
 */
/** Programs that are recorded at most. */
const bucketsMax = 6;
/** Where nothing is known of the data: all candidates up to this many lengths, then only the powers of two among them. */
const blindBucketsMax = 5;
const candidates = [32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096];

/** Chosen lengths are multiples of this, or the longest sequence. */
const granularity = 8;
/** One more program must save this share of the tokens. */
const worthwhile = 0.01;

/** Lengths in ascending order where nothing is known of the data; the last is the longest sequence. */
export function blindBuckets(maxLength: number): readonly number[] {
  const below = candidates.filter((length) => length < maxLength);
  const isPowerOfTwo = (length: number): boolean => Number.isInteger(Math.log2(length));
  const kept = below.length < blindBucketsMax ? below : below.filter(isPowerOfTwo);
  return [...kept, maxLength];
}

/**
 * The lengths, at most six, that compute the fewest tokens when each microbatch is padded to the next one: by dynamic
 * programming over the multiples of eight, cost(k, j) = min over i < j of cost(k − 1, i) + count(i, j] · length(j). The
 * last length is the longest sequence, for samples that nobody has measured.
 * @param longest tokens of the longest sample of each microbatch, none above `maxLength`
 */
export function chooseBuckets(longest: readonly number[], maxLength: number): readonly number[] {
  const lengths = Array.from({ length: Math.ceil(maxLength / granularity) }, (_, index) =>
    Math.min(maxLength, granularity * (index + 1)),
  );
  const upTo = countsUpTo(longest, lengths);
  const last = lengths.length - 1;
  const first = lengths.map((length, j) => ({ cost: (upTo[j] ?? 0) * length, before: -1 }));
  const rounds = [first];
  while (rounds.length < Math.min(bucketsMax, lengths.length)) {
    rounds.push(oneMore(rounds.at(-1) ?? first, lengths, upTo));
  }
  const costs = rounds.map((round) => round[last]?.cost ?? 0);
  const goodEnough = (1 + worthwhile) * Math.min(...costs);
  const chosen: number[] = [];
  let at = last;
  for (let round = costs.findIndex((cost) => cost <= goodEnough); at >= 0; round--) {
    chosen.unshift(lengths[at] ?? maxLength);
    at = rounds[round]?.[at]?.before ?? -1;
  }
  return chosen;
}

interface Best {
  /** Tokens computed for all microbatches up to this length. */
  readonly cost: number;
  /** Place of the next shorter bucket; −1 for none. */
  readonly before: number;
}

function countsUpTo(longest: readonly number[], lengths: readonly number[]): readonly number[] {
  const counts = lengths.map(() => 0);
  for (const tokens of longest) {
    const place = Math.max(0, Math.ceil(tokens / granularity) - 1);
    counts[place] = (counts[place] ?? 0) + 1;
  }
  let sum = 0;
  return counts.map((count) => (sum += count));
}

/** The best costs with one bucket more. */
function oneMore(
  fewer: readonly Best[],
  lengths: readonly number[],
  upTo: readonly number[],
): Best[] {
  return lengths.map((length, j) => {
    let best = fewer[j] ?? { cost: Number.POSITIVE_INFINITY, before: -1 };
    for (let i = 0; i < j; i++) {
      const cost = (fewer[i]?.cost ?? 0) + ((upTo[j] ?? 0) - (upTo[i] ?? 0)) * length;
      if (cost < best.cost) best = { cost, before: i };
    }
    return best;
  });
}
