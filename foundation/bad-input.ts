/**
 * The one error class that callers branch on: the user's input is wrong. The program prints its message without a
 * stack and exits with code 2; every other error is a failure of ours, exits with code 1 and is logged with its stack.
 */

/** Where the bad input stands, what was expected and what was found. Each part is optional but the expectation. */
export interface BadInputPlace {
  /** A flag such as `--learning-rate`, or a job-file key. */
  readonly flag?: string;
  /** A file as the user named it. */
  readonly file?: string;
  /** Line in that file, from 1. */
  readonly line?: number;
  /** Column's name, or its number from 1. */
  readonly column?: string | number;
  /** What would have been right. */
  readonly expected: string;
  /** What was there; shortened to 120 characters. */
  readonly found?: string;
  /** What to do about it. */
  readonly remedy?: string;
}

const foundCharactersMax = 120;

function shortened(text: string): string {
  return text.length <= foundCharactersMax ? text : `${text.slice(0, foundCharactersMax - 1)}…`;
}

/** Says one clear line: place, expected, found, remedy. */
export function describeBadInput(place: BadInputPlace): string {
  const where = [
    place.flag,
    place.file,
    place.line === undefined ? undefined : `line ${place.line}`,
    place.column === undefined ? undefined : `column ${place.column}`,
  ].filter((part) => part !== undefined);
  const prefix = where.length === 0 ? "" : `${where.join(", ")}: `;
  const found = place.found === undefined ? "" : `, found ${shortened(place.found)}`;
  const remedy = place.remedy === undefined ? "" : ` (${place.remedy})`;
  return `${prefix}expected ${place.expected}${found}${remedy}`;
}

/** Wrong input of the user's. `describeBadInput` gives its message. */
export class BadInput extends Error {
  override readonly name = "BadInput";
  readonly place: BadInputPlace;
  constructor(place: BadInputPlace) {
    super(describeBadInput(place));
    this.place = place;
  }
}
