/**
 * How the hub's files lie in the cache folder: contents once, by their hash; per commit a folder of links to them, which
 * looks like the repository.
 *
 *     hub/models--owner--name/blobs/<hash>               a whole, checked content
 *     hub/models--owner--name/blobs/<hash>.incomplete    a download that was cut off
 *     hub/models--owner--name/snapshots/<commit>/…       links into blobs
 *     hub/models--owner--name/listings/<commit>.json     what the repository holds at that commit
 *     hub/models--owner--name/revisions/<revision>       the commit that a branch or tag was last seen at
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { translateDiskError } from "../native/setup-problem.ts";
import {
  listingSchema,
  type HubFile,
  type Listing,
  type RepositoryName,
} from "./hub-repository.ts";

/** The folder of a repository. */
export function repositoryFolder(cacheFolder: string, { kind, id }: RepositoryName): string {
  return join(cacheFolder, "hub", [kind, ...id.split("/")].join("--"));
}

/** Where a file's content lies. Without a hash from the hub its commit and path name it. */
export function blobPath(folder: string, commit: string, file: HubFile): string {
  const own = createHash("sha256").update(`${commit}/${file.path}`).digest("hex");
  return join(folder, "blobs", file.sha256 ?? file.gitSha1 ?? own);
}

/** Where a commit's files appear under their own names. */
export function snapshotFolder(folder: string, commit: string): string {
  return join(folder, "snapshots", commit);
}

async function replaceFile(
  path: string,
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}`;
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw translateDiskError(error, dirname(path));
  }
}

/** Makes a file of the snapshot a link to its content. */
export async function linkFile(folder: string, commit: string, file: HubFile): Promise<string> {
  const link = join(snapshotFolder(folder, commit), file.path);
  const target = relative(dirname(link), blobPath(folder, commit, file));
  await replaceFile(link, (temporary) => symlink(target, temporary));
  return link;
}

/** Whether a content is there, and as long as it should be. */
export async function hasBlob(folder: string, commit: string, file: HubFile): Promise<boolean> {
  const status = await stat(blobPath(folder, commit, file)).catch(() => null);
  return status !== null && (file.size === null || status.size === file.size);
}

function revisionFile(folder: string, revision: string): string {
  return join(folder, "revisions", encodeURIComponent(revision));
}

/** Remembers what the hub said of a revision. */
export async function rememberListing(
  folder: string,
  revision: string,
  listing: Listing,
): Promise<void> {
  await replaceFile(join(folder, "listings", `${listing.commit}.json`), (temporary) =>
    writeFile(temporary, JSON.stringify(listing)),
  );
  await replaceFile(revisionFile(folder, revision), (temporary) =>
    writeFile(temporary, listing.commit),
  );
}

/** What the hub last said of a revision (a branch, a tag, or a commit), or null. */
export async function rememberedListing(folder: string, revision: string): Promise<Listing | null> {
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  const commit = isCommit
    ? revision
    : await readFile(revisionFile(folder, revision), "utf8").catch(() => null);
  if (commit === null) return null;
  try {
    const text = await readFile(join(folder, "listings", `${commit}.json`), "utf8");
    return listingSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
