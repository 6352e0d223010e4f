/** Labels that must be refused. */
import type { BadDataCase } from "./bad-data-case.ts";

const header = "text\tlabel\n";

export const badLabelCases: readonly BadDataCase[] = [
  {
    name: "a label that is NaN",
    content: `${header}a\t0\nb\tNaN\n`,
    place: { line: 3, column: "label" },
    expected: /a label/,
    found: /NaN/,
  },
  {
    name: "an infinite label",
    content: `${header}a\t-Infinity\n`,
    place: { line: 2, column: "label" },
    expected: /finite/,
  },
  {
    name: "an empty label",
    content: `${header}a\t0\nb\t\n`,
    place: { line: 3, column: "label" },
    expected: /a label/,
    found: /nothing/,
  },
  {
    name: "a label that is null",
    file: "a.jsonl",
    content: '{"text":"a","label":null}\n',
    place: { line: 1, column: "label" },
    expected: /a label/,
    found: /null/,
  },
  {
    name: "a label that is an object",
    file: "a.jsonl",
    content: '{"text":"a","label":{}}\n',
    place: { line: 1, column: "label" },
    expected: /a label/,
  },
  {
    name: "only one label",
    content: `${header}a\tx\nb\tx\n`,
    place: { column: "label" },
    expected: /two different/,
    found: /only "x"/,
  },
  {
    name: "a name among numbers",
    content: `${header}a\t1.5\nb\t2\nc\tx\n`,
    place: { line: 4 },
    expected: /a number/,
    found: /x/,
  },
  {
    name: "a fraction among names",
    content: `${header}a\tx\nb\t2.5\n`,
    place: { line: 3 },
    expected: /a name/,
    found: /2\.5/,
  },
  {
    name: "a label that the model does not have",
    content: `${header}a\tham\nb\tspam\nc\teggs\n`,
    labels: ["ham", "spam"],
    place: { line: 4, column: "label" },
    expected: /one of the 2 labels "ham", "spam"/,
    found: /"eggs"/,
  },
  {
    name: "three labels for a model of two",
    content: `${header}a\tx\nb\ty\nc\tz\n`,
    labels: ["LABEL_0", "LABEL_1"],
    place: { line: 4, column: "label" },
    expected: /at most 2 different labels, as many as the model has/,
    found: /one more: "z"/,
  },
  {
    name: "a class number beyond the model's",
    content: `${header}a\t0\nb\t2\n`,
    labels: ["LABEL_0", "LABEL_1"],
    place: { line: 3, column: "label" },
    expected: /from 0 to 1/,
  },
  {
    name: "numbers with fractions for a model of classes",
    content: `${header}a\t0.5\n`,
    labels: ["LABEL_0", "LABEL_1"],
    place: { line: 2, column: "label" },
    expected: /a label, since the model has 2/,
  },
  {
    name: "vectors of different length",
    file: "a.jsonl",
    content: '{"text":"a","label":[0,1]}\n{"text":"a","label":[0,1,1]}\n',
    place: { line: 2, column: "label" },
    expected: /2 numbers/,
    found: /3/,
  },
  {
    name: "a list among single labels",
    file: "a.jsonl",
    content: '{"text":"a","label":1}\n{"text":"a","label":["x"]}\n',
    place: { line: 2, column: "label" },
    expected: /a label/,
  },
];
