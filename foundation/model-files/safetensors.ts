/**
 * Reads and writes safetensors files. Values become float32 on the way in and are float32 on the way out; a file is
 * never held in memory beside its values. Little-endian hosts only, as all of ours are.
 */
import { open, type FileHandle } from "node:fs/promises";
import { BadInput } from "../bad-input.ts";
import { sizeOf } from "../parameters/table.ts";
import {
  headerLength,
  parseHeader,
  writeHeader,
  type StoredTensor,
  type TensorForm,
} from "./safetensors-header.ts";
import { isFloatFormat, widenBfloat16, widenHalf } from "./stored-float.ts";

/** Bytes read or written by one call. */
const pieceBytes = 16 * 1024 * 1024;

/** A named tensor with its values, row-major. */
export interface NamedTensor extends TensorForm {
  readonly values: Float32Array;
}

/** An open file. Close it. */
export interface SafetensorsReader {
  /** The file as the user named it. */
  readonly file: string;
  /** The tensors by name. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Reads a tensor's values into `target`, which must have its size. Throws BadInput unless F32, F16 or BF16. */
  read(name: string, target: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file and checks its header. Throws BadInput for whatever is wrong with it. */
export async function openSafetensors(file: string): Promise<SafetensorsReader> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const first = await readBytes(handle, 0, Math.min(8, size));
    const length = headerLength(first, size, file);
    const header = await readBytes(handle, 8, length);
    const dataStart = 8 + length;
    const tensors = parseHeader(header, size - dataStart, file);
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    return {
      file,
      tensors: byName,
      read: async (name, target) => {
        const tensor = byName.get(name);
        if (tensor === undefined)
          throw new RangeError(`Cannot read tensor as it is not in ${file}: ${name}`);
        await readTensor({ handle, file, dataStart, tensor }, target);
      },
      close: async () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** All tensors of a file, in the order of their bytes. Throws BadInput as `openSafetensors` does. */
export async function readSafetensors(file: string): Promise<ReadonlyMap<string, NamedTensor>> {
  const reader = await openSafetensors(file);
  try {
    const result = new Map<string, NamedTensor>();
    for (const { name, shape } of reader.tensors.values()) {
      const values = new Float32Array(sizeOf(shape));
      await reader.read(name, values);
      result.set(name, { name, shape, values });
    }
    return result;
  } finally {
    await reader.close();
  }
}

/**
 * Writes float32 tensors, in the order given, and syncs the file to disk. The file must not exist.
 * @param metadata strings for the header; transformers wants `format: "pt"`, the default
 */
export async function writeSafetensors(
  file: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<void> {
  for (const { name, shape, values } of tensors) {
    if (values.length !== sizeOf(shape)) {
      throw new RangeError(
        `Cannot write tensor ${name} as [${shape.join(", ")}]: it has ${values.length} values`,
      );
    }
  }
  const handle = await open(file, "wx");
  try {
    await writeBytes(handle, writeHeader(tensors, metadata));
    for (const { values } of tensors) {
      await writeBytes(handle, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

interface TensorPlace {
  readonly handle: FileHandle;
  readonly file: string;
  readonly dataStart: number;
  readonly tensor: StoredTensor;
}

async function readTensor(place: TensorPlace, target: Float32Array): Promise<void> {
  const { handle, file, dataStart, tensor } = place;
  const { format, name, begin, end, shape } = tensor;
  if (target.length !== sizeOf(shape)) {
    throw new RangeError(
      `Cannot read tensor ${name} into ${target.length} values: it has ${sizeOf(shape)}`,
    );
  }
  if (!isFloatFormat(format)) {
    throw new BadInput({ file, expected: `F32, F16 or BF16 in tensor ${name}`, found: format });
  }
  if (format === "F32") {
    const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    await fillBytes(handle, dataStart + begin, bytes);
    return;
  }
  const widen = format === "F16" ? widenHalf : widenBfloat16;
  for (let at = begin; at < end; at += pieceBytes) {
    const bytes = await readBytes(handle, dataStart + at, Math.min(pieceBytes, end - at));
    const first = (at - begin) / 2;
    const bits = new Uint16Array(bytes.buffer, 0, bytes.length / 2);
    widen(bits, target.subarray(first, first + bits.length));
  }
}

async function readBytes(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await fillBytes(handle, position, bytes);
  return bytes;
}

async function fillBytes(handle: FileHandle, position: number, target: Uint8Array): Promise<void> {
  let filled = 0;
  while (filled < target.length) {
    const length = Math.min(pieceBytes, target.length - filled);
    const { bytesRead } = await handle.read(target, filled, length, position + filled);
    if (bytesRead === 0)
      throw new Error(`Cannot read ${target.length} bytes: the file ended after ${filled}`);
    filled += bytesRead;
  }
}

async function writeBytes(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const length = Math.min(pieceBytes, bytes.length - written);
    const { bytesWritten } = await handle.write(bytes, written, length);
    written += bytesWritten;
  }
}
