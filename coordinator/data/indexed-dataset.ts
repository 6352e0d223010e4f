/** Files one after the other as one Dataset, or a part of them. */
import type { DataRecord, Dataset } from "./dataset.ts";
import type { IndexedFile, Row } from "./indexed-file.ts";
import type { LabelScheme } from "./label-scheme.ts";

/** What is shown of the files. */
export interface DatasetView {
  /** Reads labels; null leaves them out. */
  readonly scheme: LabelScheme | null;
  /** Which records belong to the dataset; all without it. */
  readonly part?: { readonly size: number; readonly recordAt: (index: number) => number };
}

interface Place {
  readonly file: number;
  readonly record: number;
}

function recordOf(row: Row, index: number, scheme: LabelScheme | null): DataRecord {
  return {
    index,
    text: row.text,
    ...(row.textPair === undefined ? {} : { textPair: row.textPair }),
    ...scheme?.read(row.label),
  };
}

/** Closes the files; called by the last of several datasets over them. */
export function closeAll(files: readonly IndexedFile[]): Promise<void> {
  return Promise.all(files.map((file) => file.close())).then(() => undefined);
}

/** A dataset over files; `close` is what its own `close` calls, once. */
export function createIndexedDataset(
  files: readonly IndexedFile[],
  view: DatasetView,
  close: () => Promise<void>,
): Dataset {
  const firsts: number[] = [];
  let recordCount = 0;
  for (const { index } of files) {
    firsts.push(recordCount);
    recordCount += index.recordCount;
  }
  const size = view.part?.size ?? recordCount;
  let isOpen = true;

  function placeOf(index: number): Place {
    if (!Number.isInteger(index) || index < 0 || index >= size) {
      throw new RangeError(`Cannot read a record of ${size} as 'index': current value is ${index}`);
    }
    const global = view.part?.recordAt(index) ?? index;
    const file = firsts.findLastIndex((first) => first <= global);
    return { file, record: global - (firsts[file] ?? 0) };
  }

  return {
    size,
    labelled: view.scheme !== null,
    lengthOf(index) {
      const { file, record } = placeOf(index);
      return files[file]?.index.lengthOf(record) ?? 0;
    },
    async read(indices, signal) {
      signal.throwIfAborted();
      const byFile = new Map<number, { record: number; slot: number }[]>();
      indices.forEach((index, slot) => {
        const { file, record } = placeOf(index);
        const wanted = byFile.get(file) ?? [];
        wanted.push({ record, slot });
        byFile.set(file, wanted);
      });
      const records: DataRecord[] = [];
      for (const [file, wanted] of byFile) {
        const numbers = wanted.map(({ record }) => record);
        const rows = (await files[file]?.read(numbers, signal)) ?? [];
        wanted.forEach(({ slot }, place) => {
          const row = rows[place];
          if (row !== undefined) records[slot] = recordOf(row, indices[slot] ?? 0, view.scheme);
        });
      }
      return records;
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await close();
    },
  };
}
