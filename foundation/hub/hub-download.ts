/**
 * Brings one file's content onto the disk, whole and checked, or not at all. A broken download is kept under a name that
 * ends in `.incomplete` and goes on from there, in this attempt or the next process.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { translateDiskError, SetupProblem } from "../native/setup-problem.ts";
import type { ProgressTask } from "../native/progress.ts";
import type { HubAccess } from "./hub-access.ts";
import type { HubFile } from "./hub-repository.ts";
import { HubFailure, Patience, requestHub } from "./hub-request.ts";
import { withRetries } from "./hub-retry.ts";

/** What is fetched, and where to. */
export interface Download {
  readonly file: HubFile;
  /** The hub's path of the content. */
  readonly source: string;
  /** The final path; its folder is made. */
  readonly target: string;
  readonly task: ProgressTask;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

/** Where the body of a partial answer starts. Throws HubFailure when the answer does not say it. */
function rangeStart(response: Response): number {
  if (response.status !== 206) return 0;
  const header = response.headers.get("content-range") ?? "";
  const start = /^bytes (\d+)-/.exec(header)?.[1];
  if (start === undefined) throw new HubFailure(`an unreadable Content-Range: "${header}"`);
  return Number(start);
}

async function append(
  response: Response,
  file: FileHandle,
  options: { readonly patience: Patience; readonly task: ProgressTask; readonly target: string },
): Promise<void> {
  for await (const part of response.body ?? []) {
    options.patience.heard();
    try {
      await file.appendFile(part);
    } catch (error) {
      throw translateDiskError(error, dirname(options.target));
    }
    options.task.advance(part.byteLength);
  }
}

/** One attempt, from where the last one stopped. The hash that the hub gave on the way. */
async function attemptDownload(
  download: Download,
  partial: string,
  access: HubAccess,
): Promise<string | null> {
  const { file: wanted, source, target, task } = download;
  const have = await sizeOf(partial);
  if (have > 0 && have === wanted.size) return null;
  const patience = new Patience(access);
  let file: FileHandle | null = null;
  try {
    const headers = have > 0 ? { range: `bytes=${have}-` } : {};
    const { response, etag } = await requestHub(source, access, { patience, headers });
    const start = rangeStart(response);
    file = await open(partial, "a");
    if (start !== have) {
      if (start !== 0) throw new HubFailure(`bytes from ${start} instead of ${have}`);
      // The server does not resume: its answer starts over.
      await file.truncate(0);
      task.advance(-have);
    }
    await append(response, file, { patience, task, target });
    await file.sync();
    const size = await sizeOf(partial);
    if (wanted.size !== null && size < wanted.size) {
      throw new HubFailure(`only ${size} of ${wanted.size} bytes`);
    }
    return etag;
  } catch (error) {
    // 416: what is there is longer than the file, so it is another's.
    if (error instanceof HubFailure && error.status === 416) {
      await rm(partial, { force: true });
      task.advance(-have);
      throw new HubFailure("a range that the file does not have");
    }
    throw error;
  } finally {
    patience.end();
    await file?.close();
  }
}

/** The hash that the content must have, and how it is made. */
type Expected =
  | { readonly kind: "sha256" | "gitSha1"; readonly hex: string }
  | { readonly kind: "none" };

function expectedHash(file: HubFile, etag: string | null): Expected {
  if (file.sha256 !== null) return { kind: "sha256", hex: file.sha256 };
  if (file.gitSha1 !== null) return { kind: "gitSha1", hex: file.gitSha1 };
  if (/^[0-9a-f]{64}$/.test(etag ?? "")) return { kind: "sha256", hex: etag ?? "" };
  if (/^[0-9a-f]{40}$/.test(etag ?? "")) return { kind: "gitSha1", hex: etag ?? "" };
  return { kind: "none" };
}

async function checkContent(
  path: string,
  wanted: HubFile,
  etag: string | null,
  signal: AbortSignal,
): Promise<void> {
  const expected = expectedHash(wanted, etag);
  if (expected.kind === "none") return;
  const size = await sizeOf(path);
  const hash = createHash(expected.kind === "sha256" ? "sha256" : "sha1");
  if (expected.kind === "gitSha1") hash.update(`blob ${size}\0`);
  await pipeline(createReadStream(path), hash, { signal });
  const found = hash.digest("hex");
  if (found === expected.hex) return;
  throw new SetupProblem(
    "wrong-hash",
    `${wanted.path} from the hub: expected the hash ${expected.hex}, found ${found}`,
    "a proxy or mirror gave another file: check HF_ENDPOINT, then try again",
  );
}

/**
 * Fetches the file unless it is there. A content with another hash than the hub's is thrown away and fetched once more.
 * Rejects with HubFailure, SetupProblem (wrong hash, disk), or the signal's reason.
 */
export async function downloadFile(download: Download, access: HubAccess): Promise<void> {
  const { file, target, task } = download;
  await mkdir(dirname(target), { recursive: true });
  const partial = `${target}.incomplete`;
  let transferred = await sizeOf(partial);
  task.advance(transferred);
  const counting = {
    ...download,
    task: {
      advance(bytes: number) {
        transferred += bytes;
        task.advance(bytes);
      },
      end: () => undefined,
    },
  };
  for (let isSecond = false; ; isSecond = true) {
    const etag = await withRetries(
      access,
      () => attemptDownload(counting, partial, access),
      () => transferred,
    );
    try {
      await checkContent(partial, file, etag, access.signal);
      await rename(partial, target);
      return;
    } catch (error) {
      if (!(error instanceof SetupProblem)) throw error;
      await rm(partial, { force: true });
      if (isSecond) throw error;
      counting.task.advance(-transferred);
    }
  }
}
