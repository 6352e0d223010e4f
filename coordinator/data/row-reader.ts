/** From a record's text to its cells, per format. Strict: a row that does not fit is refused, never repaired. */
import { RowProblem, describeValue } from "./row-problem.ts";

/** The cells of the wanted columns, in their order; undefined where a column was not wanted. */
export type Cells = readonly unknown[];

/** Reads records of one file, whose columns are known. Throws RowProblem. */
export type RowReader = (record: string) => Cells;

/** How a format's records are read. */
export interface RowFormat {
  /** Whether the first record names the columns; otherwise its own keys do. */
  readonly hasHeader: boolean;
  /** The columns' names by the first record. Throws RowProblem. */
  columnsOf(firstRecord: string): readonly string[];
  /** A reader of the wanted columns (null for a column that is not wanted); all of them exist. */
  reader(columns: readonly string[], wanted: readonly (string | null)[]): RowReader;
}

/** A name that would reach an object's prototype where somebody assigns by name. */
const forbiddenName = "__proto__";

function checkNames(names: readonly string[]): readonly string[] {
  if (names.includes(forbiddenName)) {
    throw new RowProblem({ column: forbiddenName, expected: "another column name" });
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new RowProblem({ column: describeValue(twice), expected: "each column name once" });
  }
  return names;
}

function tableFormat(fieldsOf: (record: string) => readonly string[]): RowFormat {
  return {
    hasHeader: true,
    columnsOf: (firstRecord) => checkNames(fieldsOf(firstRecord)),
    reader(columns, wanted) {
      const places = wanted.map((name) => (name === null ? -1 : columns.indexOf(name)));
      return (record) => {
        const fields = fieldsOf(record);
        if (fields.length !== columns.length) {
          const found = `${fields.length}`;
          throw new RowProblem({ expected: `${columns.length} columns as in the header`, found });
        }
        return places.map((place) => fields[place]);
      };
    },
  };
}

/** Tab-separated values: no quoting, a quote is a quote. */
export const tsvRows: RowFormat = tableFormat((record) => record.split("\t"));

function unquote(record: string, open: number): { readonly field: string; readonly end: number } {
  let field = "";
  let from = open + 1;
  for (;;) {
    const close = record.indexOf('"', from);
    if (close === -1) throw new RowProblem({ expected: 'a closing quote (")', found: "none" });
    field += record.slice(from, close);
    if (record[close + 1] !== '"') return { field, end: close + 1 };
    field += '"';
    from = close + 2;
  }
}

/** The fields of one CSV record (RFC 4180). Throws RowProblem. */
export function csvFields(record: string): readonly string[] {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (record[at] === '"') {
      const { field, end } = unquote(record, at);
      if (end < record.length && record[end] !== ",") {
        throw new RowProblem({
          column: fields.length + 1,
          expected: "a comma or the line's end after the closing quote",
          found: describeValue(record[end]),
          remedy: 'a quote within a quoted field is written ""',
        });
      }
      fields.push(field);
      at = end;
    } else {
      const comma = record.indexOf(",", at);
      const end = comma === -1 ? record.length : comma;
      fields.push(record.slice(at, end));
      at = end;
    }
    if (at >= record.length) return fields;
    at += 1;
  }
}

/** Comma-separated values. */
export const csvRows: RowFormat = tableFormat(csvFields);

function parseObject(record: string): object {
  let value: unknown;
  try {
    value = JSON.parse(record);
  } catch (error) {
    const found = error instanceof SyntaxError ? error.message : "something else";
    throw new RowProblem({ expected: "valid JSON", found });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RowProblem({ expected: "an object ({ … })", found: describeValue(value) });
  }
  if (Object.hasOwn(value, forbiddenName)) {
    throw new RowProblem({ column: forbiddenName, expected: "another key" });
  }
  return value;
}

/** One JSON object a record; keys that are not wanted may differ from record to record. */
export const jsonRows: RowFormat = {
  hasHeader: false,
  columnsOf: (firstRecord) => Object.keys(parseObject(firstRecord)),
  reader(_columns, wanted) {
    return (record) => {
      const row = parseObject(record);
      return wanted.map((name): unknown =>
        name !== null && Object.hasOwn(row, name) ? Reflect.get(row, name) : undefined,
      );
    };
  },
};

/** One text a line, and a second one behind a tab where there is one. Columns are called text and text_pair. */
export const plainRows: RowFormat = {
  hasHeader: false,
  columnsOf: (firstRecord) => ["text", "text_pair"].slice(0, firstRecord.split("\t").length),
  reader(columns) {
    return (record) => {
      const texts = record.split("\t");
      if (texts.length === columns.length) return texts;
      const expected = columns.length === 1 ? "one text" : "two texts separated by a tab";
      throw new RowProblem({ expected, found: `${texts.length}` });
    };
  },
};
