/** Splits with labels: one that teaches what the labels are, and others that must use them. */
import { BadInput } from "../../foundation/bad-input.ts";
import type { ColumnChoice, Columns } from "./columns.ts";
import type { DataFile } from "./data-files.ts";
import { createHoldOutBuilder, type HoldOut } from "./hold-out.ts";
import { closeAll } from "./indexed-dataset.ts";
import { isMissing, type LabelScheme } from "./label-scheme.ts";
import { createFixedTally, createLabelTally, type LabelTally } from "./label-tally.ts";
import { openSplit, type OpenedSplit } from "./open-split.ts";
import { RowProblem, describeValue } from "./row-problem.ts";

/** What both kinds of split need. */
export interface LabelledOptions {
  readonly choice: ColumnChoice;
  readonly cacheFolder: string;
  readonly signal: AbortSignal;
}

/** A split whose labels are known now. */
export interface LearntSplit extends OpenedSplit {
  readonly scheme: LabelScheme;
  readonly holdOut: HoldOut | null;
}

/** How labels are learnt. */
export interface LearningOptions extends LabelledOptions {
  /** The labels of a model that keeps its head; null for none. */
  readonly modelLabels: readonly string[] | null;
  /** Whether the model is trained, so that its placeholder labels may be given the data's names. */
  readonly training: boolean;
  /** Share to hold out; 0 for none. */
  readonly holdOutShare: number;
}

/** The scheme that a tally found; what it refuses then is the fault of no single row. */
function schemeOf(
  tally: LabelTally | null,
  file: string | undefined,
  column: string | null,
): LabelScheme {
  try {
    if (tally === null) throw new RowProblem({ expected: "labels", found: "none" });
    return tally.scheme();
  } catch (error) {
    if (!(error instanceof RowProblem)) throw error;
    throw new BadInput({
      ...(file === undefined ? {} : { file }),
      ...(column === null ? {} : { column }),
      ...error.place,
    });
  }
}

/** Opens labelled files and learns the labels from them. Rejects with BadInput. */
export async function openLearning(
  files: readonly DataFile[],
  options: LearningOptions,
): Promise<LearntSplit> {
  const learnt: { tally: LabelTally | null; columns: Columns | null } = {
    tally: null,
    columns: null,
  };
  const { modelLabels, holdOutShare, choice, cacheFolder, signal } = options;
  const holdOut = holdOutShare > 0 ? createHoldOutBuilder(holdOutShare) : null;
  const opened = await openSplit(files, {
    choice,
    labels: "required",
    cacheFolder,
    signal,
    begin(columns, declared) {
      learnt.columns = columns;
      learnt.tally =
        modelLabels !== null && !options.training
          ? createFixedTally(modelLabels)
          : createLabelTally({ model: modelLabels, declared });
    },
    accept(row) {
      learnt.tally?.observe(row.label);
      holdOut?.add(row.text, row.textPair);
    },
  });
  try {
    const scheme = schemeOf(learnt.tally, files[0]?.path, learnt.columns?.label ?? null);
    return { ...opened, scheme, holdOut: holdOut?.finish() ?? null };
  } catch (error) {
    await closeAll(opened.files);
    throw error;
  }
}

/** A label's absence as files of test data write it: nothing, or −1 where that is no label. */
function isAbsent(cell: unknown, scheme: LabelScheme): boolean {
  if (isMissing(cell)) return true;
  return (
    scheme.problemType === "single_label_classification" &&
    (cell === -1 || cell === "-1") &&
    scheme.labels?.includes("-1") !== true
  );
}

/** A split whose labels were learnt from another. */
export interface KnownSplit extends OpenedSplit {
  readonly labelled: boolean;
}

/**
 * Opens files that must use a scheme's labels. With `optional` labels they may be absent, from all records or from none.
 * Rejects with BadInput.
 */
export async function openKnown(
  files: readonly DataFile[],
  scheme: LabelScheme,
  options: LabelledOptions & { readonly labels: "required" | "optional" },
): Promise<KnownSplit> {
  let present = 0;
  let absent = 0;
  const opened = await openSplit(files, {
    ...options,
    accept({ label }) {
      if (options.labels === "optional" && isAbsent(label, scheme)) {
        absent += 1;
      } else {
        scheme.read(label);
        present += 1;
      }
      if (present > 0 && absent > 0) {
        const expected = present === 1 && absent > 1 ? "no label, as before" : "a label, as before";
        throw new RowProblem({ expected, found: describeValue(label) });
      }
    },
  });
  return { ...opened, labelled: present > 0 };
}
