/** Training data of known lengths: rows that fill all of their tokens, so that both sides compute the same, or rows of all lengths. */
import { writeFileSync } from "node:fs";
import { wordCount, wordOf, type BertShape } from "./random-bert.ts";

const rowCount = 4_096;

/** Writes rows of at least `tokens` words of the shape's vocabulary, labelled a or b, as JSONL. */
export function writeFullRows(file: string, shape: BertShape, tokens: number): void {
  writeRows(file, shape, () => tokens);
}

/** The same of rows of one word to `tokens`, as many of each length. */
export function writeMixedRows(file: string, shape: BertShape, tokens: number): void {
  writeRows(file, shape, (row) => 1 + ((row * 37) % tokens));
}

function writeRows(file: string, shape: BertShape, lengthOf: (row: number) => number): void {
  const words = wordCount(shape);
  const lines = Array.from({ length: rowCount }, (_, row) => {
    const text = Array.from({ length: lengthOf(row) }, (_, k) =>
      wordOf((row * 7919 + k * (31 + (row % 5))) % words),
    );
    return JSON.stringify({ text: text.join(" "), label: row % 2 === 0 ? "a" : "b" });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
}

/** Words of each label in learnable rows, and the share of a row's words that are its own label's. */
const learnable = { words: 40, ownShare: 0.6 } as const;

/** Writes rows of `tokens` words whose label can be learned: words of the label's own half come up more often. */
export function writeLearnableRows(file: string, tokens: number): void {
  // Numerical Recipes' linear congruential generator; its high bits are good enough.
  let state = 1;
  const draw = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const { words, ownShare } = learnable;
  const lines = Array.from({ length: rowCount }, (_, row) => {
    const own = row % 2;
    const text = Array.from({ length: tokens }, () => {
      const half = draw() < ownShare ? own : 1 - own;
      return wordOf(half * words + Math.floor(draw() * words));
    });
    return JSON.stringify({ text: text.join(" "), label: own === 0 ? "a" : "b" });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
}
