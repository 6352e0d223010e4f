/** Unpacks gzip and zstd as a stream; a packed file that is cut off or damaged is the user's bad input. */
import { createReadStream } from "node:fs";
import { Transform } from "node:stream";
import * as zlib from "node:zlib";
import { Decompress } from "fzstd";
import { BadInput } from "../../foundation/bad-input.ts";
import { fileChunks } from "./byte-source.ts";

const chunkBytes = 1_048_576;

function damaged(path: string, kind: string, error: unknown): BadInput {
  const found = error instanceof Error ? error.message : String(error);
  return new BadInput({ file: path, expected: `a whole ${kind} file`, found });
}

/** The file's bytes through one of zlib's streams. */
async function* through(
  unpacked: Transform,
  file: { readonly path: string; readonly kind: string },
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const packed = createReadStream(file.path, { highWaterMark: chunkBytes, signal });
  packed.pipe(unpacked);
  // pipe() does not pass errors on.
  packed.on("error", (error) => unpacked.destroy(error));
  const chunks: AsyncIterable<Buffer> = unpacked;
  try {
    yield* chunks;
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const isDamage = typeof code === "string" && /^Z_|^ZSTD_/.test(code);
    throw isDamage ? damaged(file.path, file.kind, error) : error;
  } finally {
    packed.destroy();
    unpacked.destroy();
  }
}

/** The content of a gzip file, member after member. */
export function gunzipChunks(path: string, signal: AbortSignal): AsyncIterable<Buffer> {
  return through(zlib.createGunzip({ chunkSize: chunkBytes }), { path, kind: "gzip" }, signal);
}

/** Node's own zstd, from 22.15 on; many times faster than JavaScript, and it checks checksums. */
function nativeUnzstd(): Transform | null {
  const create: unknown = Reflect.get(zlib, "createZstdDecompress");
  const stream: unknown = typeof create === "function" ? create({ chunkSize: chunkBytes }) : null;
  return stream instanceof Transform ? stream : null;
}

async function* unzstdInJavaScript(path: string, signal: AbortSignal): AsyncIterable<Buffer> {
  let made: Buffer[] = [];
  const unpacker = new Decompress((data) => {
    made.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  });
  const push = (chunk: Uint8Array, isLast: boolean): readonly Buffer[] => {
    made = [];
    try {
      unpacker.push(chunk, isLast);
    } catch (error) {
      throw damaged(path, "zstd", error);
    }
    return made;
  };
  for await (const chunk of fileChunks(path, signal)) yield* push(chunk, false);
  yield* push(new Uint8Array(0), true);
}

/** The content of a zstd file, frame after frame. */
export function unzstdChunks(path: string, signal: AbortSignal): AsyncIterable<Buffer> {
  const native = nativeUnzstd();
  if (native === null) return unzstdInJavaScript(path, signal);
  return through(native, { path, kind: "zstd" }, signal);
}
