/**
 * Learns from the training data which labels there are. Integers and names become classes (names sorted, integers by
 * value), numbers with fractions a regression, lists several labels a record.
 */
import {
  classScheme,
  describeLabels,
  multiLabelScheme,
  regressionScheme,
  scalarLabel,
  targetVector,
  type LabelScheme,
} from "./label-scheme.ts";
import { RowProblem, describeValue } from "./row-problem.ts";

/** Collects labels, one cell after the other. */
export interface LabelTally {
  /** Throws RowProblem at the first cell that does not go with those before, or that is one label too many. */
  observe(cell: unknown): void;
  /** What the cells so far mean. Throws RowProblem when they are no labels to train on. */
  scheme(): LabelScheme;
}

/** What is known before the data is read. */
export interface KnownLabels {
  /** The labels of the model that is trained on, where it keeps its head. */
  readonly model: readonly string[] | null;
  /** The classes in order as a file declares them (Hugging Face's `ClassLabel`). */
  readonly declared: readonly string[] | null;
}

const labelsMax = 10_000;

/** Names that transformers makes up where nobody gave any. */
function isPlaceholder(name: string, index: number): boolean {
  return name === `LABEL_${index}`;
}

function compareLabels(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

class ScalarTally implements LabelTally {
  private readonly names = new Set<string>();
  private allNumbers = true;
  private sawFraction = false;
  private readonly model: readonly string[] | null;

  constructor(model: readonly string[] | null) {
    this.model = model;
  }

  observe(cell: unknown): void {
    const { name, number } = scalarLabel(cell);
    const isFraction = number !== null && !Number.isInteger(number);
    if (isFraction && !this.allNumbers) {
      throw new RowProblem({ expected: "a name, as in the records before", found: name });
    }
    if (number === null && this.sawFraction) {
      throw new RowProblem({ expected: "a number, as in the records before", found: name });
    }
    this.sawFraction ||= isFraction;
    if (this.sawFraction) {
      this.checkRegression(name);
      return;
    }
    this.allNumbers &&= number !== null;
    if (this.names.has(name)) return;
    this.checkRoom(name, number);
    this.names.add(name);
  }

  private checkRegression(found: string): void {
    if (this.model === null) return;
    throw new RowProblem({ expected: `a label, since the model has ${this.model.length}`, found });
  }

  private checkRoom(name: string, number: number | null): void {
    const limit = this.model?.length ?? labelsMax;
    const expected =
      this.model === null
        ? `at most ${labelsMax} different labels`
        : `at most ${limit} different labels, as many as the model has`;
    if (this.names.size >= limit) {
      throw new RowProblem({ expected, found: `one more: ${describeValue(name)}` });
    }
    if (
      this.model !== null &&
      this.allNumbers &&
      number !== null &&
      !(number >= 0 && number < limit)
    ) {
      const found = describeValue(name);
      throw new RowProblem({ expected: `a class number from 0 to ${limit - 1}`, found });
    }
  }

  scheme(): LabelScheme {
    if (this.sawFraction) return regressionScheme();
    const sorted = this.allNumbers
      ? [...this.names].sort((left, right) => Number(left) - Number(right))
      : [...this.names].sort(compareLabels);
    if (this.model === null) {
      if (sorted.length > 1) return classScheme(sorted);
      throw new RowProblem({
        expected: "at least two different labels",
        found: `only ${describeLabels(sorted)}`,
      });
    }
    if (this.allNumbers) return classScheme(this.model);
    return classScheme(this.model.map((placeholder, index) => sorted[index] ?? placeholder));
  }
}

class ListTally implements LabelTally {
  private readonly names = new Set<string>();
  private vectorLength: number | null = null;
  private readonly model: readonly string[] | null;

  constructor(model: readonly string[] | null) {
    this.model = model;
  }

  observe(cell: unknown): void {
    if (!Array.isArray(cell)) {
      throw new RowProblem({ expected: "a list of labels", found: describeValue(cell) });
    }
    const items: readonly unknown[] = cell;
    if (items.length > 0 && items.every((item) => typeof item === "number")) {
      this.vectorLength ??= this.model?.length ?? items.length;
      targetVector(items, this.vectorLength);
    } else {
      for (const item of items) this.names.add(scalarLabel(item).name);
    }
    const limit = this.model?.length ?? labelsMax;
    if (this.names.size > limit || (this.names.size > 0 && this.vectorLength !== null)) {
      const expected = `lists of names, at most ${limit} different ones, or lists of numbers`;
      throw new RowProblem({ expected, found: describeValue(cell) });
    }
  }

  scheme(): LabelScheme {
    const { model } = this;
    const length = this.vectorLength ?? this.names.size;
    if (length === 0) throw new RowProblem({ expected: "labels", found: "only empty lists" });
    const numbered = Array.from({ length }, (_, index) => String(index));
    if (this.vectorLength !== null) return multiLabelScheme(model ?? numbered);
    const sorted = [...this.names].sort(compareLabels);
    return multiLabelScheme(model?.map((name, index) => sorted[index] ?? name) ?? sorted);
  }
}

/** A scheme that is known beforehand, still checked cell by cell. */
function knownTally(scheme: LabelScheme, lists: LabelScheme): LabelTally {
  let inUse: LabelScheme | null = null;
  return {
    observe(cell) {
      inUse ??= Array.isArray(cell) ? lists : scheme;
      inUse.read(cell);
    },
    scheme: () => inUse ?? scheme,
  };
}

/** A tally for data that a finished model is evaluated on: its labels are taken as they are. */
export function createFixedTally(labels: readonly string[]): LabelTally {
  if (labels.length === 1) return knownTally(regressionScheme(), regressionScheme());
  return knownTally(classScheme(labels), multiLabelScheme(labels));
}

/** A tally that fits the first cell it sees. */
function tallyByFirstCell(model: readonly string[] | null): LabelTally {
  let tally: LabelTally | null = null;
  return {
    observe(cell) {
      tally ??= Array.isArray(cell) ? new ListTally(model) : new ScalarTally(model);
      tally.observe(cell);
    },
    scheme() {
      if (tally !== null) return tally.scheme();
      throw new RowProblem({ expected: "labels", found: "none" });
    },
  };
}

/**
 * A tally for training data. With names in the model's config the data must use them (or class numbers); with
 * `LABEL_0, …` there the data's own names take their places, up to as many; a model with one label is a regression.
 */
export function createLabelTally(known: KnownLabels): LabelTally {
  const { model, declared } = known;
  if (model !== null && (model.length === 1 || !model.every(isPlaceholder))) {
    return createFixedTally(model);
  }
  if (declared === null || declared.length < 2) return tallyByFirstCell(model);
  if (model === null) return createFixedTally(declared);
  if (declared.length > model.length) return tallyByFirstCell(model);
  return createFixedTally(model.map((placeholder, index) => declared[index] ?? placeholder));
}
