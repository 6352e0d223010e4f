/**
 * The header of a safetensors file, read strictly: eight bytes of length, that many bytes of JSON, then the tensors'
 * bytes without a gap. Format: https://github.com/huggingface/safetensors#format
 */
import { z } from "zod";
import { BadInput } from "../bad-input.ts";
import { sizeOf } from "../parameters/table.ts";
import { decodeUtf8, parseJsonObject } from "./json-object.ts";
import { formatBytes } from "./stored-float.ts";

/** Longest header that is read, as the reference implementation has it: 100 MB. */
export const headerBytesMax = 100_000_000;

/** Where one tensor lies. */
export interface StoredTensor {
  readonly name: string;
  /** safetensors' name of the format, such as `F32`. */
  readonly format: string;
  readonly shape: readonly number[];
  /** Offset of the first byte, counted from the end of the header. */
  readonly begin: number;
  /** Offset after the last byte. */
  readonly end: number;
}

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.number().int().nonnegative()),
  data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
});

/** Length of the header from the file's first eight bytes. Throws BadInput where it cannot be. */
export function headerLength(first: Uint8Array, fileBytes: number, file: string): number {
  if (first.length < 8) {
    throw new BadInput({ file, expected: "a safetensors file", found: `${fileBytes} bytes` });
  }
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  const available = fileBytes - 8;
  if (length > BigInt(headerBytesMax) || length > BigInt(available)) {
    const limit = Math.min(headerBytesMax, available);
    throw new BadInput({
      file,
      expected: `a header of at most ${limit} bytes`,
      found: `${length} bytes`,
      remedy: "the file is cut off or no safetensors file",
    });
  }
  return Number(length);
}

/**
 * Parses and checks a header.
 * @param bytes the JSON, without the length
 * @param dataBytes bytes of the file after the header
 * @returns the tensors in the order of their bytes; Throws BadInput naming file and tensor
 */
export function parseHeader(
  bytes: Uint8Array,
  dataBytes: number,
  file: string,
): readonly StoredTensor[] {
  const json = parseJsonObject(decodeUtf8(bytes, file), file);
  const tensors = Object.entries(json)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => parseEntry(name, entry, file))
    .toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const tensor of tensors) {
    if (tensor.begin !== end) {
      throw new BadInput({
        file,
        expected: `tensor ${tensor.name} to begin at byte ${end} of the data`,
        found: `${tensor.begin}${tensor.begin < end ? ", which overlaps another tensor" : ""}`,
      });
    }
    end = tensor.end;
  }
  if (end !== dataBytes) {
    const last = tensors.at(-1)?.name ?? "none";
    throw new BadInput({
      file,
      expected: `${end} bytes of tensors (the last is ${last})`,
      found: `${dataBytes} bytes`,
      ...(end > dataBytes ? { remedy: "the file is cut off: copy or download it again" } : {}),
    });
  }
  return tensors;
}

function parseEntry(name: string, entry: unknown, file: string): StoredTensor {
  const parsed = entrySchema.safeParse(entry);
  if (!parsed.success) {
    const found = JSON.stringify(entry);
    throw new BadInput({ file, expected: `dtype, shape and offsets of tensor ${name}`, found });
  }
  const { dtype, shape, data_offsets: offsets } = parsed.data;
  const valueBytes = formatBytes.get(dtype);
  if (valueBytes === undefined) {
    throw new BadInput({ file, expected: `a known dtype of tensor ${name}`, found: dtype });
  }
  const [begin, end] = offsets;
  const bytes = sizeOf(shape) * valueBytes;
  if (!Number.isSafeInteger(bytes) || end - begin !== bytes) {
    throw new BadInput({
      file,
      expected: `${bytes} bytes of tensor ${name} (${dtype} [${shape.join(", ")}])`,
      found: `${end - begin} bytes`,
    });
  }
  return { name, format: dtype, shape, begin, end };
}

/** Tensors to be written, all float32. */
export interface TensorForm {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Length and JSON of the header for float32 tensors in this order, padded with spaces so that the data starts at a
 * multiple of eight bytes.
 */
export function writeHeader(
  tensors: readonly TensorForm[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: [string, unknown][] = [["__metadata__", metadata]];
  let begin = 0;
  for (const { name, shape } of tensors) {
    const end = begin + sizeOf(shape) * 4;
    entries.push([name, { dtype: "F32", shape, data_offsets: [begin, end] }]);
    begin = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(8 + padded, " ");
  header.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(header, 8);
  return header;
}
