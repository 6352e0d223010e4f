/** Takes chosen files out of a wheel (a zip archive). */
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { openPromise, type Entry, type ZipFile } from "yauzl";
import type { ProgressSink, ProgressTask } from "./progress.ts";

/** What to take, and where to. */
export interface UnpackOptions {
  readonly label: string;
  /** The file's path below the folder, or null to leave it out. Absolute paths and `..` are refused before. */
  readonly place: (pathInWheel: string) => string | null;
  readonly folder: string;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
}

interface Placed {
  readonly entry: Entry;
  readonly path: string;
}

const filesAtOnce = 8;
const executableBits = 0o111;

async function placedEntries(zip: ZipFile, options: UnpackOptions): Promise<Placed[]> {
  const placed: Placed[] = [];
  for await (const entry of zip.eachEntry()) {
    if (entry.fileName.endsWith("/")) continue;
    const path = options.place(entry.fileName);
    if (path !== null) placed.push({ entry, path: join(options.folder, path) });
  }
  return placed;
}

function counted(task: ProgressTask): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      task.advance(chunk.length);
      done(null, chunk);
    },
  });
}

/** Writes the chosen files; rejects on a damaged archive, a full disk or the signal. */
export async function unpackWheel(wheelFile: string, options: UnpackOptions): Promise<void> {
  const zip = await openPromise(wheelFile, { lazyEntries: true, autoClose: false });
  try {
    const placed = await placedEntries(zip, options);
    const totalBytes = placed.reduce((sum, { entry }) => sum + entry.uncompressedSize, 0);
    const folders = new Set(placed.map(({ path }) => dirname(path)));
    for (const folder of folders) await mkdir(folder, { recursive: true });
    const task = options.progress.begin({ label: options.label, totalBytes });
    let next = 0;
    const unpackSome = async (): Promise<void> => {
      for (let file = placed[next++]; file !== undefined; file = placed[next++]) {
        const unixMode = file.entry.externalFileAttributes >>> 16;
        const mode = (unixMode & executableBits) === 0 ? 0o644 : 0o755;
        await pipeline(
          await zip.openReadStreamPromise(file.entry),
          counted(task),
          createWriteStream(file.path, { mode }),
          { signal: options.signal },
        );
      }
    };
    let note: string | undefined = "failed";
    try {
      await Promise.all(Array.from({ length: filesAtOnce }, unpackSome));
      note = undefined;
    } finally {
      task.end(note);
    }
  } finally {
    zip.close();
  }
}
