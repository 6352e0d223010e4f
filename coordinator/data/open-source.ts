/** Brings every format to one form: bytes, how to cut them into records, how to read a record. */
import { openPlainSource, openUnpackedSource, type ByteSource } from "./byte-source.ts";
import { gunzipChunks, unzstdChunks } from "./decompress.ts";
import type { Columns } from "./columns.ts";
import type { DataFile } from "./data-files.ts";
import { openParquet } from "./parquet.ts";
import {
  createJsonSplitter,
  csvSplitter,
  lineSplitter,
  type RecordSplitter,
} from "./record-splitter.ts";
import { csvRows, jsonRows, plainRows, tsvRows, type RowFormat } from "./row-reader.ts";

/** A file of records, opened. */
export interface RecordSource {
  readonly bytes: ByteSource;
  readonly splitter: RecordSplitter;
  readonly rows: RowFormat;
  /** What a record's number counts in messages. */
  readonly unit: "line" | "row";
  /** Names of classes by column, where the file declares them. */
  readonly declaredLabels: ReadonlyMap<string, readonly string[]>;
}

/** How files are opened. */
export interface OpenOptions {
  /** Where unpacked content goes. */
  readonly cacheFolder: string;
  readonly signal: AbortSignal;
  /** A `text` file as plain lines; otherwise it is TSV. */
  readonly plainText: boolean;
  /** Which of a file's columns to read, the same at each call for one file. Throws BadInput. */
  choose(
    columns: readonly string[],
    declaredLabels: ReadonlyMap<string, readonly string[]>,
  ): Columns;
}

const noLabels: ReadonlyMap<string, readonly string[]> = new Map();

function openBytes(file: DataFile, options: OpenOptions): Promise<ByteSource> {
  const { signal, cacheFolder } = options;
  switch (file.compression) {
    case "none":
      return openPlainSource(file.path, signal);
    case "gzip":
      return openUnpackedSource(gunzipChunks(file.path, signal), cacheFolder);
    case "zstd":
      return openUnpackedSource(unzstdChunks(file.path, signal), cacheFolder);
  }
}

function textFormat(
  file: DataFile,
  plainText: boolean,
): { readonly splitter: RecordSplitter; readonly rows: RowFormat } {
  switch (file.format) {
    case "csv":
      return { splitter: csvSplitter, rows: csvRows };
    case "jsonl":
      return { splitter: lineSplitter, rows: jsonRows };
    case "json":
      return { splitter: createJsonSplitter(), rows: jsonRows };
    case "text":
      return { splitter: lineSplitter, rows: plainText ? plainRows : tsvRows };
    case "tsv":
    case "parquet":
      return { splitter: lineSplitter, rows: tsvRows };
  }
}

/** Opens a file; the caller closes its bytes. */
export async function openRecordSource(
  file: DataFile,
  options: OpenOptions,
): Promise<RecordSource> {
  if (file.format === "parquet") {
    const { chunks, declaredLabels } = await openParquet(
      file.path,
      (columns, declared) => {
        const { text, textPair, label } = options.choose(columns, declared);
        return [text, textPair, label].filter((column) => column !== null);
      },
      options.signal,
    );
    const bytes = await openUnpackedSource(chunks, options.cacheFolder);
    return { bytes, splitter: lineSplitter, rows: jsonRows, unit: "row", declaredLabels };
  }
  const bytes = await openBytes(file, options);
  const { splitter, rows } = textFormat(file, options.plainText);
  return { bytes, splitter, rows, unit: "line", declaredLabels: noLabels };
}
