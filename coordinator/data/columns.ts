/** Which columns hold text, second text and label: what the user says, else a guess by name that is said aloud. */
import { BadInput } from "../../foundation/bad-input.ts";
import { nearestName } from "../../foundation/job/nearest.ts";
import { describeValue } from "./row-problem.ts";

/** The user's choice; null leaves it to the guess. */
export interface ColumnChoice {
  readonly textColumn: string | null;
  readonly textPairColumn: string | null;
  readonly labelColumn: string | null;
}

/** The columns that are read. */
export interface Columns {
  readonly text: string;
  readonly textPair: string | null;
  readonly label: string | null;
  /** Those found by their usual names, as `text "sentence"`, for the note. */
  readonly guessed: readonly string[];
}

/** Whether a file must have labels, may have them, or is read without. */
export type LabelNeed = "required" | "optional" | "unused";

/** Usual names of pairs; GLUE's, MRPC's original files', common ones. */
const pairNames = [
  ["sentence1", "sentence2"],
  ["#1 String", "#2 String"],
  ["text", "text_pair"],
  ["text1", "text2"],
  ["text_a", "text_b"],
  ["sentence_1", "sentence_2"],
  ["sentence_a", "sentence_b"],
  ["premise", "hypothesis"],
  ["question1", "question2"],
  ["question", "sentence"],
  ["question", "passage"],
  ["query", "passage"],
  ["string1", "string2"],
] as const;

const textNames = [
  "text",
  "sentence",
  "content",
  "review",
  "document",
  "message",
  "comment",
  "tweet",
  "body",
  "utterance",
  "question",
  "query",
];

const labelNames = [
  "label",
  "labels",
  "Quality",
  "class",
  "category",
  "target",
  "gold_label",
  "is_duplicate",
  "sentiment",
  "intent",
  "score",
];

/** The column of that name, else one that differs only in case. */
function named(columns: readonly string[], name: string): string | undefined {
  const lower = name.toLowerCase();
  return (
    columns.find((column) => column === name) ??
    columns.find((column) => column.toLowerCase() === lower)
  );
}

function firstNamed(columns: readonly string[], names: readonly string[]): string | undefined {
  return names.map((name) => named(columns, name)).find((column) => column !== undefined);
}

function listOf(columns: readonly string[]): string {
  return columns.length === 0 ? "no columns" : columns.map(describeValue).join(", ");
}

interface Flagged {
  readonly flag: string;
  readonly file: string;
}

function existing(columns: readonly string[], wanted: string, at: Flagged): string {
  if (columns.includes(wanted)) return wanted;
  const nearest = nearestName(wanted, columns);
  throw new BadInput({
    ...at,
    expected: `a column named ${describeValue(wanted)}`,
    found: listOf(columns),
    ...(nearest === null ? {} : { remedy: `did you mean ${describeValue(nearest)}?` }),
  });
}

function guessTexts(columns: readonly string[], file: string): readonly string[] {
  for (const [first, second] of pairNames) {
    const text = named(columns, first);
    const textPair = named(columns, second);
    if (text !== undefined && textPair !== undefined) return [text, textPair];
  }
  const text = firstNamed(columns, textNames);
  if (text !== undefined) return [text];
  throw new BadInput({
    flag: "--text-column",
    file,
    expected: "a column of text",
    found: listOf(columns),
    remedy: "name it: --text-column NAME, and --text-pair-column NAME for pairs",
  });
}

function chooseTexts(
  columns: readonly string[],
  choice: ColumnChoice,
  file: string,
): { readonly texts: readonly string[]; readonly guessed: boolean } {
  if (choice.textColumn === null && choice.textPairColumn === null) {
    return { texts: guessTexts(columns, file), guessed: true };
  }
  if (choice.textColumn === null) {
    throw new BadInput({
      flag: "--text-pair-column",
      expected: "--text-column with it",
      found: "only the pair's column",
    });
  }
  const texts = [existing(columns, choice.textColumn, { flag: "--text-column", file })];
  if (choice.textPairColumn !== null) {
    texts.push(existing(columns, choice.textPairColumn, { flag: "--text-pair-column", file }));
  }
  return { texts, guessed: false };
}

/**
 * The columns of a file. Choosing a text column says that there is no pair unless its column is chosen too.
 * Throws BadInput when a column is missing, naming those that are there.
 */
export function chooseColumns(
  columns: readonly string[],
  choice: ColumnChoice,
  at: { readonly file: string; readonly labels: LabelNeed },
): Columns {
  const { texts, guessed } = chooseTexts(columns, choice, at.file);
  const [text = "", textPair = null] = texts;
  const guesses = guessed
    ? [
        `text ${describeValue(text)}`,
        ...(textPair === null ? [] : [`pair ${describeValue(textPair)}`]),
      ]
    : [];
  if (at.labels === "unused") return { text, textPair, label: null, guessed: guesses };
  const flagged = { flag: "--label-column", file: at.file };
  const label =
    choice.labelColumn === null
      ? firstNamed(
          columns.filter((column) => column !== text && column !== textPair),
          labelNames,
        )
      : at.labels === "optional" && !columns.includes(choice.labelColumn)
        ? undefined
        : existing(columns, choice.labelColumn, flagged);
  if (label === undefined && at.labels === "required") {
    throw new BadInput({
      ...flagged,
      expected: "a column of labels",
      found: listOf(columns),
      remedy: "name it: --label-column NAME",
    });
  }
  return {
    text,
    textPair,
    label: label ?? null,
    guessed:
      label === undefined || choice.labelColumn !== null
        ? guesses
        : [...guesses, `label ${describeValue(label)}`],
  };
}
