/** SHA-256 of files, streamed. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";

/** The file's SHA-256 in hexadecimal; rejects when it cannot be read. */
export async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const readBytes = 1_048_576;
  await pipeline(createReadStream(path, { highWaterMark: readBytes }), hash, { signal });
  return hash.digest("hex");
}
