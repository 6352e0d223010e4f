/** What a cell of the label column means once the labels are known: a class, a value, or a target per label. */
import { RowProblem, describeValue } from "./row-problem.ts";

/** transformers' `problem_type`. */
export type ProblemType =
  | "single_label_classification"
  | "multi_label_classification"
  | "regression";

/** A record's label, in the field that `DataRecord` has for it. */
export type LabelValue =
  | { readonly label: number }
  | { readonly target: number }
  | { readonly targets: readonly number[] };

/** Reads labels. */
export interface LabelScheme {
  readonly problemType: ProblemType;
  /** Names by class number; null for regression. */
  readonly labels: readonly string[] | null;
  /** Throws RowProblem for a cell that is no label of this scheme. */
  read(cell: unknown): LabelValue;
}

/** A scalar label as text: integers in one spelling, booleans as `false` and `true`. */
export interface ScalarLabel {
  readonly name: string;
  /** Its value where the name is a number. */
  readonly number: number | null;
}

const shownLabelsMax = 6;

/** Labels for a message: the first few by name. */
export function describeLabels(labels: readonly string[]): string {
  const shown = labels.slice(0, shownLabelsMax).map(describeValue).join(", ");
  return labels.length > shownLabelsMax ? `${shown}, … (${labels.length})` : shown;
}

function numberOf(text: string): number | null {
  const number = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isNaN(number) ? null : number;
}

/** Whether a cell holds no label at all: absent, null or empty. */
export function isMissing(cell: unknown): boolean {
  return cell === undefined || cell === null || cell === "";
}

/** One label of its own. Throws RowProblem for what is missing, no scalar, NaN or infinite. */
export function scalarLabel(cell: unknown): ScalarLabel {
  if (typeof cell === "boolean") return { name: String(cell), number: null };
  if (typeof cell !== "number" && typeof cell !== "string") {
    throw new RowProblem({ expected: "a label", found: describeValue(cell) });
  }
  const text = String(cell);
  if (text === "" || /^[+-]?nan$/i.test(text)) {
    throw new RowProblem({ expected: "a label", found: text === "" ? "nothing" : text });
  }
  const number = numberOf(text);
  if (number === null) return { name: text, number: null };
  if (!Number.isFinite(number)) {
    throw new RowProblem({ expected: "a label or a finite number", found: text });
  }
  return { name: Number.isSafeInteger(number) ? String(number) : text, number };
}

/** Class numbers by name; integers count as class numbers where no label has such a name. */
function classReader(labels: readonly string[]): (cell: unknown) => number {
  const byName = new Map(labels.map((name, index) => [name, index]));
  return (cell) => {
    const { name, number } = scalarLabel(cell);
    const byItsName = byName.get(name);
    if (byItsName !== undefined) return byItsName;
    if (number !== null && Number.isInteger(number) && number >= 0 && number < labels.length) {
      if (!labels.some((label) => numberOf(label) !== null)) return number;
    }
    throw new RowProblem({
      expected: `one of the ${labels.length} labels ${describeLabels(labels)}`,
      found: describeValue(cell),
    });
  };
}

/** One class a record. */
export function classScheme(labels: readonly string[]): LabelScheme {
  const classOf = classReader(labels);
  return {
    problemType: "single_label_classification",
    labels,
    read: (cell) => ({ label: classOf(cell) }),
  };
}

/** A number a record. */
export function regressionScheme(): LabelScheme {
  return {
    problemType: "regression",
    labels: null,
    read(cell) {
      const { number } = scalarLabel(cell);
      if (number !== null) return { target: number };
      throw new RowProblem({ expected: "a number", found: describeValue(cell) });
    },
  };
}

/** Any number of labels a record: a list of names, or a number from 0 to 1 for each label. */
export function multiLabelScheme(labels: readonly string[]): LabelScheme {
  const classOf = classReader(labels);
  return {
    problemType: "multi_label_classification",
    labels,
    read(cell) {
      if (!Array.isArray(cell)) {
        throw new RowProblem({ expected: "a list of labels", found: describeValue(cell) });
      }
      const items: readonly unknown[] = cell;
      if (items.length > 0 && items.every((item) => typeof item === "number")) {
        return { targets: targetVector(items, labels.length) };
      }
      const present = new Set(items.map(classOf));
      return { targets: labels.map((_, index) => (present.has(index) ? 1 : 0)) };
    },
  };
}

/** Checks a vector of targets. Throws RowProblem. */
export function targetVector(values: readonly number[], labelCount: number): readonly number[] {
  if (values.length !== labelCount) {
    const found = `${values.length}`;
    throw new RowProblem({ expected: `${labelCount} numbers, one for each label`, found });
  }
  const wrong = values.find((value) => !(value >= 0 && value <= 1));
  if (wrong === undefined) return values;
  throw new RowProblem({ expected: "targets from 0 to 1", found: describeValue(wrong) });
}
