/** A table of made-up lines, as large as wanted: for measuring what a file's size costs. */
import { open } from "node:fs/promises";

const words =
  "the quick brown fox jumps over a lazy dog while seven wizards mix jade potions and internationally renowned cooks taste them".split(
    " ",
  );
/** Lines that differ; the file repeats them. */
const lineCount = 65_536;
const wordsMin = 4;
const wordsSpread = 27;

/** Line `index`, 28 to 190 bytes: a text of known words, and a label. */
export function tableLine(index: number): string {
  const mixed = Math.imul(index + 1, 0x9e3779b1) >>> 0;
  const count = wordsMin + (mixed % wordsSpread);
  const text = Array.from({ length: count }, (_, k) => words[(mixed + k * 7) % words.length]);
  return `${text.join(" ")} ${index % lineCount}\t${index % 2 === 0 ? "even" : "odd"}\n`;
}

/** Writes a TSV file of at least so many bytes, whole lines; resolves with its number of records. */
export async function writeLargeTable(file: string, bytes: number): Promise<number> {
  const lines = Array.from({ length: lineCount }, (_, index) => tableLine(index));
  const block = Buffer.from(lines.join(""));
  const table = await open(file, "w");
  try {
    await table.write("text\tlabel\n");
    let records = 0;
    let left = bytes;
    for (; left >= block.length; left -= block.length) {
      await table.write(block);
      records += lineCount;
    }
    for (let index = 0; left > 0; index++) {
      const line = tableLine(index);
      await table.write(line);
      left -= Buffer.byteLength(line);
      records += 1;
    }
    return records;
  } finally {
    await table.close();
  }
}
