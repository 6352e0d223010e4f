/** Medians and spreads of repeated measurements. */

/** Middle, least and largest of some measurements. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median (mean of the middle two for an even count). */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Median and range. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * The ratio of two sides' medians, with the least and the most of the ratios round by round, between which it always lies.
 * @param above what is divided, a value a round @param below what it is divided by, in the same rounds
 */
export function ratioOfMedians(above: readonly number[], below: readonly number[]): Spread {
  if (above.length !== below.length) {
    throw new RangeError(`Cannot compare ${above.length} rounds with ${below.length}`);
  }
  const { min, max } = spreadOf(above.map((value, round) => value / (below[round] ?? Number.NaN)));
  return { median: median(above) / median(below), min, max };
}

/** How titles of tables say what their figures are. */
export const howRatios = "median (least–most); ratios are of medians (least–most by round)";

/** `12.3 (11.9–12.8)`. */
export function formatSpread(spread: Spread, digits = 1): string {
  return `${spread.median.toFixed(digits)} (${spread.min.toFixed(digits)}–${spread.max.toFixed(digits)})`;
}

/** Rows as a table of aligned columns; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
