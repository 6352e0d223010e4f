/** Numbers as people read them. Pure. */

/** `1 h 02 min`, `3 min 05 s`, `12 s`. */
export function durationText(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const two = (value: number): string => String(value).padStart(2, "0");
  if (hours > 0) return `${hours} h ${two(minutes % 60)} min`;
  if (minutes > 0) return `${minutes} min ${two(seconds % 60)} s`;
  return `${seconds} s`;
}

/** Four decimals, or as many digits as a small number needs. */
export function metricText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(4) : value.toExponential(2);
}

/** `4.2e-5`. */
export function rateText(value: number): string {
  return value === 0 ? "0" : value.toExponential(2).replace(/\.?0+e/u, "e");
}

/** `8 %`, and for what is rare, `0.3 %` or `under 0.1 %`. @param share from 0 to 1 */
export function shareText(share: number): string {
  const percent = 100 * share;
  if (percent > 0 && percent < 0.1) return "under 0.1 %";
  return `${percent > 0 && percent < 1 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** That samples were cut at the longest sequence, and what to do about it; null when none were. */
export function cutText(
  shares: { readonly truncated: number },
  maxLength: number | null,
): string | null {
  if (shares.truncated === 0) return null;
  const at = maxLength === null ? "the longest sequence" : `${maxLength} tokens`;
  return `${shareText(shares.truncated)} of the samples were cut at ${at} (--max-length)`;
}

/** Rows as columns of equal width, the first row underlined. */
export function tableText(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join("  ");
  const [head, ...body] = rows;
  if (head === undefined) return [];
  return [line(head), widths.map((width) => "─".repeat(width)).join("  "), ...body.map(line)];
}
