/** What a file's name says about its content. */

/** Formats of records. `text` is one line a record when predicting, and TSV when training. */
export const recordFormats = ["tsv", "csv", "jsonl", "json", "parquet", "text"] as const;
/** One of `recordFormats`. */
export type RecordFormat = (typeof recordFormats)[number];
/** How the file as a whole is packed. */
export type Compression = "none" | "gzip" | "zstd";

/** Format and packing of a file. */
export interface FileFormat {
  readonly format: RecordFormat;
  readonly compression: Compression;
}

const formatOfExtension: ReadonlyMap<string, RecordFormat> = new Map([
  ["tsv", "tsv"],
  ["tab", "tsv"],
  ["csv", "csv"],
  ["jsonl", "jsonl"],
  ["ndjson", "jsonl"],
  ["json", "json"],
  ["parquet", "parquet"],
  ["txt", "text"],
]);

const compressionOfExtension: ReadonlyMap<string, Compression> = new Map([
  ["gz", "gzip"],
  ["zst", "zstd"],
]);

/** For messages: what names may end in. */
export const supportedEndings =
  ".tsv, .csv, .jsonl, .json, .txt (tab-separated), each also .gz or .zst, or .parquet";

/** The format by the name's endings (any case), or null when they say nothing. */
export function formatOfFile(path: string): FileFormat | null {
  const endings = path.toLowerCase().split(/[/\\]/).at(-1)?.split(".").slice(1) ?? [];
  const compression = compressionOfExtension.get(endings.at(-1) ?? "") ?? "none";
  const format = formatOfExtension.get(endings.at(compression === "none" ? -1 : -2) ?? "");
  if (format === undefined || (format === "parquet" && compression !== "none")) return null;
  return { format, compression };
}
