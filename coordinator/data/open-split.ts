/** Opens the files of one split: every row checked, columns and labels the same in all of them. */
import { BadInput } from "../../foundation/bad-input.ts";
import { chooseColumns, type ColumnChoice, type Columns, type LabelNeed } from "./columns.ts";
import type { DataFile } from "./data-files.ts";
import { closeAll } from "./indexed-dataset.ts";
import { indexFile, type IndexedFile, type Row } from "./indexed-file.ts";

/** What a split is read for. */
export interface SplitPlan {
  readonly choice: ColumnChoice;
  readonly labels: LabelNeed;
  readonly cacheFolder: string;
  readonly signal: AbortSignal;
  /** A `.txt` file as one text a line; otherwise it is TSV. */
  readonly plainText?: boolean;
  /** Called once, before the first row. */
  begin?(columns: Columns, declaredLabels: readonly string[] | null): void;
  /** Called for each row. Throws RowProblem. */
  accept(row: Row): void;
}

/** Files in order, and what to tell the user of them. */
export interface OpenedSplit {
  readonly files: readonly IndexedFile[];
  readonly notes: readonly string[];
}

function checkAlike(columns: Columns, first: Columns, file: string): void {
  if ((columns.textPair === null) === (first.textPair === null)) return;
  throw new BadInput({
    file,
    expected: first.textPair === null ? "one text a record" : "pairs of texts",
    found: columns.textPair === null ? "one text a record" : "pairs of texts",
    remedy: "all files of a job must be alike",
  });
}

/** Opens and checks the files in turn. Rejects with BadInput; what was opened is closed then. */
export async function openSplit(files: readonly DataFile[], plan: SplitPlan): Promise<OpenedSplit> {
  const opened: IndexedFile[] = [];
  const notes = new Set<string>();
  let first: Columns | null = null;
  const { cacheFolder, signal } = plan;
  try {
    for (const file of files) {
      const indexed = await indexFile(file, {
        cacheFolder,
        signal,
        plainText: plan.plainText ?? false,
        accept: (row) => plan.accept(row),
        choose(names, declaredLabels) {
          const at = { file: file.path, labels: plan.labels };
          const columns = chooseColumns(names, plan.choice, at);
          if (first === null) {
            const declared = columns.label === null ? null : declaredLabels.get(columns.label);
            plan.begin?.(columns, declared ?? null);
          }
          first ??= columns;
          checkAlike(columns, first, file.path);
          if (columns.guessed.length > 0) notes.add(guessNote(columns.guessed));
          return columns;
        },
      });
      opened.push(indexed);
    }
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
  return { files: opened, notes: [...notes] };
}

function guessNote(guessed: readonly string[]): string {
  const flags = "--text-column, --text-pair-column, --label-column choose others";
  return `columns taken by their usual names: ${guessed.join(", ")} (${flags})`;
}
