/** A table for people: columns as wide as their widest cell, two spaces between. */

/** Lines of a table; the first row is its head. Cells of a column named in `rightAligned` stand right. */
export function textTable(
  rows: readonly (readonly string[])[],
  rightAligned: ReadonlySet<number> = new Set(),
): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => Array.from(row[column] ?? "").length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const space = " ".repeat((widths[column] ?? 0) - Array.from(cell).length);
        return rightAligned.has(column) ? space + cell : cell + space;
      })
      .join("  ")
      .trimEnd(),
  );
}
