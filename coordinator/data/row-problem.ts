/** What is wrong with one record, before it is known where the record stands. */
import { BadInput } from "../../foundation/bad-input.ts";

/** The parts of a `BadInputPlace` that a record's reader knows. */
export interface RowPlace {
  readonly column?: string | number;
  readonly expected: string;
  readonly found?: string;
  readonly remedy?: string;
}

/** Thrown by readers of records; whoever knows file and line makes a BadInput of it. */
export class RowProblem extends Error {
  override readonly name = "RowProblem";
  readonly place: RowPlace;
  constructor(place: RowPlace) {
    super(`expected ${place.expected}`);
    this.place = place;
  }
}

/** Where records of a file stand: lines of a text file, rows of a table without lines. */
export interface RecordPlace {
  readonly file: string;
  readonly line: number;
  /** What the number counts; rows are said within the file's part of the message. */
  readonly unit: "line" | "row";
}

/** The error with its place; errors that are no RowProblem come back as they are. */
export function placeProblem(error: unknown, at: RecordPlace): unknown {
  if (!(error instanceof RowProblem)) return error;
  if (at.unit === "row") {
    return new BadInput({ ...error.place, file: `${at.file}, row ${at.line}` });
  }
  return new BadInput({ ...error.place, file: at.file, line: at.line });
}

/** A value as an error message shows it. */
export function describeValue(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return `"${value}"`;
  if (typeof value === "bigint") return value.toString();
  return JSON.stringify(value) ?? typeof value;
}
