/**
 * The bytes of a file, once from beginning to end and then at any place. What is packed (gzip, zstd, Parquet) is unpacked
 * once, while it is read the first time, into a nameless file of the cache folder's disk: it costs the unpacked size on
 * that disk and the time of one pass at each start, and is gone with the process, however that ends.
 */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { translateDiskError } from "../../foundation/native/setup-problem.ts";

/** First `chunks`, to the end; then `read`. */
export interface ByteSource {
  /** The whole content in order. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Reads exactly those bytes. Rejects with an Error when the file has changed since it was opened. */
  read(start: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

const chunkBytes = 1_048_576;

async function readFully(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, start + filled);
    if (bytesRead === 0) throw new Error(`Cannot read ${length} bytes at ${start}: the file ends`);
    filled += bytesRead;
  }
  return bytes;
}

/** Reads a file's bytes in order, in chunks that no later chunk overwrites. */
export async function* fileChunks(path: string, signal: AbortSignal): AsyncIterable<Buffer> {
  const stream: AsyncIterable<Buffer> = createReadStream(path, {
    highWaterMark: chunkBytes,
    signal,
  });
  yield* stream;
}

/** A file as it lies on disk. */
export async function openPlainSource(path: string, signal: AbortSignal): Promise<ByteSource> {
  const file = await open(path, "r");
  const opened = await file.stat();
  return {
    chunks: fileChunks(path, signal),
    async read(start, length) {
      const now = await file.stat();
      if (now.size !== opened.size || now.mtimeMs !== opened.mtimeMs) {
        throw new Error(`Cannot read records of ${path}: the file was changed after it was opened`);
      }
      return readFully(file, start, length);
    },
    close: () => file.close(),
  };
}

async function openNamelessFile(folder: string): Promise<FileHandle> {
  const path = join(folder, `.unpacked-${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(path, "wx+", 0o600);
    await unlink(path);
    return file;
  } catch (error) {
    throw translateDiskError(error, folder);
  }
}

async function* written(
  chunks: AsyncIterable<Buffer>,
  file: FileHandle,
  folder: string,
): AsyncIterable<Buffer> {
  let position = 0;
  for await (const chunk of chunks) {
    let done = 0;
    try {
      while (done < chunk.length) {
        const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position);
        done += bytesWritten;
        position += bytesWritten;
      }
    } catch (error) {
      throw translateDiskError(error, folder);
    }
    yield chunk;
  }
}

/** Content that is made while it is read, kept in a nameless file under `folder`. */
export async function openUnpackedSource(
  chunks: AsyncIterable<Buffer>,
  folder: string,
): Promise<ByteSource> {
  const file = await openNamelessFile(folder);
  return {
    chunks: written(chunks, file, folder),
    read: (start, length) => readFully(file, start, length),
    close: () => file.close(),
  };
}
