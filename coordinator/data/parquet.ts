/**
 * Parquet as JSON lines of the columns that are read, made one row group at a time: a columnar file cannot be read a row
 * at random, so it is turned into one that can. Memory is bounded by the wanted columns of the largest row group.
 */
import { open, type FileHandle } from "node:fs/promises";
import {
  parquetMetadataAsync,
  parquetScan,
  parquetSchema,
  type FileMetaData,
  type ParquetScan,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { z } from "zod";
import { BadInput } from "../../foundation/bad-input.ts";

/** A Parquet file, opened. */
export interface ParquetContent {
  /** The wanted columns of each row as JSON lines; closes the file at the end. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Names of classes by column, from the metadata that Hugging Face's datasets writes. */
  readonly declaredLabels: ReadonlyMap<string, readonly string[]>;
}

/** hyparquet's access to a file. */
interface FileBytes {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

const chunkCharacters = 1_048_576;
/** magic, length of the metadata, magic */
const parquetBytesMin = 12;

const classLabelSchema = z.object({ _type: z.literal("ClassLabel"), names: z.array(z.string()) });
const featureSchema = z.union([
  classLabelSchema,
  z.object({ feature: classLabelSchema }).transform(({ feature }) => feature),
  z.unknown().transform(() => null),
]);
const huggingFaceSchema = z.object({
  info: z.object({ features: z.record(z.string(), featureSchema) }),
});

function declaredLabelsOf(metadata: FileMetaData): ReadonlyMap<string, readonly string[]> {
  const entry = metadata.key_value_metadata?.find(({ key }) => key === "huggingface");
  const declared = new Map<string, readonly string[]>();
  if (entry?.value === undefined) return declared;
  let content: unknown;
  try {
    content = JSON.parse(entry.value);
  } catch {
    return declared;
  }
  const parsed = huggingFaceSchema.safeParse(content);
  for (const [column, feature] of Object.entries(parsed.data?.info.features ?? {})) {
    if (feature !== null) declared.set(column, feature.names);
  }
  return declared;
}

function damaged(path: string, error: unknown): unknown {
  if (error instanceof BadInput) return error;
  // Errors of the operating system have a code; all others are the decoder's.
  if (
    error instanceof Error &&
    "code" in error &&
    error.code !== "ERR_ENCODING_INVALID_ENCODED_DATA"
  ) {
    return error;
  }
  const found = error instanceof Error ? error.message : String(error);
  return new BadInput({ file: path, expected: "a whole Parquet file", found });
}

function bytesOfFile(file: FileHandle, byteLength: number): FileBytes {
  return {
    byteLength,
    async slice(start, end = byteLength) {
      const buffer = new ArrayBuffer(end - start);
      const { bytesRead } = await file.read(new Uint8Array(buffer), 0, end - start, start);
      if (bytesRead === end - start) return buffer;
      throw new RangeError(`the file ends at byte ${start + bytesRead}`);
    },
  };
}

/** A cell as JSON holds it: NaN stays visible, class numbers become the declared names, −1 (no label) null. */
function jsonCell(cell: unknown, names: readonly string[] | undefined): unknown {
  if (cell === undefined || cell === null) return null;
  if (typeof cell === "bigint") return jsonCell(Number(cell), names);
  if (Array.isArray(cell)) return cell.map((item) => jsonCell(item, names));
  if (ArrayBuffer.isView(cell) && Symbol.iterator in cell) {
    return jsonCell(Array.from<unknown>(Object.values(cell)), names);
  }
  if (typeof cell !== "number") return cell;
  if (names !== undefined && cell === -1) return null;
  return names?.[cell] ?? (Number.isFinite(cell) ? cell : String(cell));
}

/** Strict decoding of texts; the library replaces broken bytes. */
function strictText(path: string): (bytes: Uint8Array | undefined) => string | undefined {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return (bytes) => {
    try {
      return bytes && strict.decode(bytes);
    } catch {
      throw new BadInput({ file: path, expected: "UTF-8", found: "a text with broken bytes" });
    }
  };
}

interface Reading {
  readonly scan: ParquetScan;
  readonly columns: readonly string[];
  readonly declaredLabels: ReadonlyMap<string, readonly string[]>;
  readonly signal: AbortSignal;
}

async function* jsonLines(reading: Reading): AsyncIterable<Buffer> {
  const { scan, columns, declaredLabels, signal } = reading;
  for (const { rowStart, rowEnd } of scan.ranges) {
    const columnCells: ArrayLike<unknown>[] = [];
    for (const column of columns) {
      signal.throwIfAborted();
      const cells = await scan.readColumn({ column, rowStart, rowEnd });
      if (cells.length !== rowEnd - rowStart) {
        throw new RangeError(`${cells.length} values in ${rowEnd - rowStart} rows of ${column}`);
      }
      columnCells.push(cells);
    }
    const keys = columns.map((column) => JSON.stringify(column));
    const names = columns.map((column) => declaredLabels.get(column));
    let lines = "";
    for (let row = 0; row < rowEnd - rowStart; row++) {
      const cells = columnCells.map(
        (column, place) => `${keys[place]}:${JSON.stringify(jsonCell(column[row], names[place]))}`,
      );
      lines += `{${cells.join()}}\n`;
      if (lines.length < chunkCharacters) continue;
      yield Buffer.from(lines);
      lines = "";
    }
    yield Buffer.from(lines);
  }
}

async function* closing(
  chunks: AsyncIterable<Buffer>,
  file: FileHandle,
  at: { readonly path: string; readonly signal: AbortSignal },
): AsyncIterable<Buffer> {
  try {
    yield* chunks;
  } catch (error) {
    at.signal.throwIfAborted();
    throw damaged(at.path, error);
  } finally {
    await file.close();
  }
}

/**
 * Opens a Parquet file. `choose` says which of its columns to read.
 * Rejects with BadInput for a file that is truncated or damaged.
 */
export async function openParquet(
  path: string,
  choose: (
    columns: readonly string[],
    declaredLabels: ReadonlyMap<string, readonly string[]>,
  ) => readonly string[],
  signal: AbortSignal,
): Promise<ParquetContent> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    if (size < parquetBytesMin) throw new RangeError(`${size} bytes`);
    const bytes = bytesOfFile(file, size);
    const metadata = await parquetMetadataAsync(bytes, { geoparquet: false });
    const names = parquetSchema(metadata).children.map(({ element }) => element.name);
    const declaredLabels = declaredLabelsOf(metadata);
    const columns = [...new Set(choose(names, declaredLabels))];
    const scan = await parquetScan({
      file: bytes,
      metadata,
      columns,
      compressors,
      parsers: { stringFromBytes: strictText(path) },
    });
    const lines = jsonLines({ scan, columns, declaredLabels, signal });
    return { chunks: closing(lines, file, { path, signal }), declaredLabels };
  } catch (error) {
    await file.close();
    throw damaged(path, error);
  }
}
