/** Training data whose every row fills all of its tokens, so that both sides compute the same. */
import { writeFileSync } from "node:fs";
import { wordCount, wordOf, type BertShape } from "./random-bert.ts";

const rowCount = 4_096;

/** Writes rows of at least `tokens` words of the shape's vocabulary, labelled a or b, as JSONL. */
export function writeFullRows(file: string, shape: BertShape, tokens: number): void {
  const words = wordCount(shape);
  const lines = Array.from({ length: rowCount }, (_, row) => {
    const text = Array.from({ length: tokens }, (_, k) =>
      wordOf((row * 7919 + k * (31 + (row % 5))) % words),
    );
    return JSON.stringify({ text: text.join(" "), label: row % 2 === 0 ? "a" : "b" });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
}
