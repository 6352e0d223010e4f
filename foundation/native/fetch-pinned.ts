/**
 * Fetches a pinned file with the user's own package manager, so that mirrors, proxies and credentials apply, and accepts
 * it by its SHA-256 alone. A whole, checked file stays in the cache's `downloads` until it has been used, so that a
 * set-up that was cut off goes on from there.
 */
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { removeAbandoned, temporaryFolderBeside } from "../cache/install-folder.ts";
import { sha256OfFile } from "./file-hash.ts";
import type { ProgressSink, ProgressTask } from "./progress.ts";
import { SetupProblem, translateDiskError } from "./setup-problem.ts";

/** What is wanted. */
export interface PinnedFile {
  readonly label: string;
  readonly fileName: string;
  readonly sha256: string;
  readonly bytes: number | null;
}

/** Where fetched files go, and who hears of it. */
export interface FetchContext {
  readonly env: NodeJS.ProcessEnv;
  /** The cache folder; its `downloads` belongs to this module, under the set-up's lock. */
  readonly cache: string;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
}

const watchEveryMs = 200;

/** Bytes of all files under a folder; files that vanish meanwhile count nothing. */
async function bytesUnder(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  let sum = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    sum += (await stat(join(entry.parentPath, entry.name)).catch(() => null))?.size ?? 0;
  }
  return sum;
}

/** Reports a folder's growth, up to the expected size: package managers keep a second copy for a moment. */
function watchGrowth(folder: string, bytesMax: number, task: ProgressTask): () => void {
  let seen = 0;
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void bytesUnder(folder).then((bytes) => {
      const grown = Math.min(bytes, bytesMax) - seen;
      task.advance(Math.max(0, grown));
      seen += Math.max(0, grown);
      looking = false;
    });
  }, watchEveryMs);
  return () => clearInterval(timer);
}

async function checkHash(pin: PinnedFile, path: string, signal: AbortSignal): Promise<void> {
  const found = await sha256OfFile(path, signal);
  if (found === pin.sha256) return;
  throw new SetupProblem(
    "wrong-hash",
    `${pin.fileName}: expected SHA-256 ${pin.sha256}, found ${found}`,
    "a mirror or proxy gave another file: check its settings, then run the set-up again",
  );
}

async function fetchInto(
  pin: PinnedFile,
  context: FetchContext,
  download: (folder: string) => Promise<void>,
): Promise<string> {
  const kept = join(context.cache, "downloads", pin.fileName);
  const folder = await temporaryFolderBeside(kept);
  const task = context.progress.begin({
    label: `fetch ${pin.label}`,
    ...(pin.bytes === null ? {} : { totalBytes: pin.bytes }),
  });
  const stopWatching = watchGrowth(folder, pin.bytes ?? Number.MAX_SAFE_INTEGER, task);
  let note: string | undefined = "failed";
  try {
    await download(folder);
    const fetched = join(folder, pin.fileName);
    if ((await stat(fetched).catch(() => null)) === null) {
      const found = (await readdir(folder)).join(", ") || "nothing";
      throw new SetupProblem("not-offered", `expected the file ${pin.fileName}, found ${found}`);
    }
    await checkHash(pin, fetched, context.signal);
    await rename(fetched, kept);
    note = undefined;
    return kept;
  } catch (error) {
    throw translateDiskError(error, context.cache);
  } finally {
    stopWatching();
    task.end(note);
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The path of the checked file: the one that an earlier set-up left, or what `download` puts under the file's name into
 * the empty folder that it is given. The caller holds the set-up's lock, and removes the file when it is done with it.
 */
export async function fetchPinned(
  pin: PinnedFile,
  context: FetchContext,
  download: (folder: string) => Promise<void>,
): Promise<string> {
  const downloads = join(context.cache, "downloads");
  await mkdir(downloads, { recursive: true });
  await removeAbandoned(downloads);
  const kept = join(downloads, pin.fileName);
  if ((await stat(kept).catch(() => null)) !== null) {
    if ((await sha256OfFile(kept, context.signal)) === pin.sha256) return kept;
    await rm(kept);
  }
  return fetchInto(pin, context, download);
}
