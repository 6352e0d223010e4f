/** Reads the files of a gzipped tar archive as npm packs them (ustar, plain files, paths up to 255 bytes). */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";

/** One file of an archive. */
export interface TarEntry {
  readonly path: string;
  readonly content: Buffer;
}

const blockBytes = 512;
const plainFileTypes = new Set(["0", "\0"]);

function textField(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

function paddedBytes(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

/** The plain files, in the archive's order, one in memory at a time. A cut-off archive is an error. */
export async function* tarEntries(file: string, signal: AbortSignal): AsyncGenerator<TarEntry> {
  const source = createReadStream(file, { signal });
  const unzipped = createGunzip();
  source.on("error", (error) => unzipped.destroy(error)).pipe(unzipped);
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of unzipped) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError("Cannot read the archive as bytes");
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (;;) {
      if (pending.length < blockBytes) break;
      const header = pending.subarray(0, blockBytes);
      const size = Number.parseInt(textField(header, 124, 12).trim() || "0", 8);
      const end = blockBytes + paddedBytes(size);
      if (pending.length < end) break;
      const prefix = textField(header, 345, 155);
      const name = textField(header, 0, 100);
      if (name !== "" && plainFileTypes.has(String.fromCharCode(header[156] ?? 0))) {
        const path = prefix === "" ? name : `${prefix}/${name}`;
        yield { path, content: Buffer.from(pending.subarray(blockBytes, blockBytes + size)) };
      }
      pending = pending.subarray(end);
    }
  }
  if (pending.length > 0) throw new RangeError(`Cannot read ${file} as an archive: it is cut off`);
}
