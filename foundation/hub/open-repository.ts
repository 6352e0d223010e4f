/** A repository at a revision, ready to give files: from the cache where they are there, from the hub where not. */
import { BadInput } from "../bad-input.ts";
import { withProcessLock } from "../cache/process-lock.ts";
import { SetupProblem } from "../native/setup-problem.ts";
import { hubEndpoint, isOffline, type HubAccess } from "./hub-access.ts";
import {
  blobPath,
  hasBlob,
  linkFile,
  rememberListing,
  rememberedListing,
  repositoryFolder,
  snapshotFolder,
} from "./hub-cache.ts";
import { downloadFile } from "./hub-download.ts";
import {
  contentPath,
  explainFailure,
  listRepository,
  type HubFile,
  type Listing,
  type RepositoryName,
} from "./hub-repository.ts";
import { HubFailure } from "./hub-request.ts";
import { withRetries } from "./hub-retry.ts";

/** A repository at one commit. */
export interface Repository {
  readonly name: RepositoryName;
  readonly files: readonly HubFile[];
  /** Set when the hub was not asked: what the user should know of that. */
  readonly note: string | null;
  /** The folder in which fetched files appear under their own paths. */
  readonly folder: string;
  /** Brings files into the folder; their paths in the order asked for. Rejects with BadInput or SetupProblem. */
  fetch(files: readonly HubFile[]): Promise<readonly string[]>;
}

/** The hub is not there, and there is no copy: what to do instead. */
function unreachable(access: HubAccess, name: RepositoryName, reason: string): SetupProblem {
  const instead = name.kind === "models" ? "--model FOLDER" : "--train-file FILE";
  return new SetupProblem(
    "network",
    `cannot reach the hub at ${hubEndpoint(access.env)} for ${name.id}: ${reason}`,
    `check the network, set HF_ENDPOINT to a mirror, or use a local copy: ${instead}`,
  );
}

function explained(
  error: unknown,
  name: RepositoryName,
  revision: string,
  access: HubAccess,
): unknown {
  if (!(error instanceof HubFailure)) return error;
  const cause = explainFailure(error, name, revision, access);
  return cause instanceof BadInput ? cause : unreachable(access, name, error.message);
}

interface Found {
  readonly listing: Listing;
  readonly note: string | null;
}

async function findListing(
  name: RepositoryName,
  revision: string,
  access: HubAccess,
): Promise<Found> {
  const folder = repositoryFolder(access.cacheFolder, name);
  const remembered = await rememberedListing(folder, revision);
  // What a commit holds never changes.
  if (remembered?.commit === revision) return { listing: remembered, note: null };
  if (isOffline(access.env)) {
    if (remembered === null) throw unreachable(access, name, "HF_HUB_OFFLINE is set");
    return { listing: remembered, note: null };
  }
  try {
    const list = (): Promise<Listing> => listRepository(name, revision, access);
    const listing = remembered === null ? await withRetries(access, list) : await list();
    await rememberListing(folder, revision, listing);
    return { listing, note: null };
  } catch (error) {
    access.signal.throwIfAborted();
    const isPassing = error instanceof HubFailure && error.isPassing;
    if (!isPassing || remembered === null) throw explained(error, name, revision, access);
    const note = `the hub does not answer (${error.message}): ${name.id} is taken from the cache as it was last seen`;
    return { listing: remembered, note };
  }
}

/**
 * Asks the hub what a revision holds; without an answer, what it held when it was last seen.
 * Rejects with BadInput for a name or revision that is not there or may not be read, with SetupProblem when the hub cannot
 * be reached and nothing is in the cache.
 */
export async function openRepository(
  name: RepositoryName,
  revision: string,
  access: HubAccess,
): Promise<Repository> {
  const { listing, note } = await findListing(name, revision, access);
  const { commit, files } = listing;
  const folder = repositoryFolder(access.cacheFolder, name);

  async function fetchOne(file: HubFile): Promise<string> {
    if (!(await hasBlob(folder, commit, file))) {
      if (isOffline(access.env)) throw unreachable(access, name, "HF_HUB_OFFLINE is set");
      const task = access.progress.begin({
        label: `fetch ${name.id}/${file.path}`,
        ...(file.size === null ? {} : { totalBytes: file.size }),
      });
      const source = contentPath(name, commit, file.path);
      let endNote: string | undefined = "failed";
      try {
        const target = blobPath(folder, commit, file);
        await downloadFile({ file, source, target, task }, access);
        endNote = undefined;
      } catch (error) {
        throw explained(error, name, revision, access);
      } finally {
        task.end(endNote);
      }
    }
    return linkFile(folder, commit, file);
  }

  return {
    name,
    files,
    note,
    folder: snapshotFolder(folder, commit),
    fetch: (wanted) =>
      withProcessLock(`${folder}/lock`, { signal: access.signal }, async () => {
        const paths: string[] = [];
        for (const file of wanted) paths.push(await fetchOne(file));
        return paths;
      }),
  };
}
