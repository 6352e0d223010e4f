/** What a repository of the hub holds at a revision. */
import { z } from "zod";
import { BadInput } from "../bad-input.ts";
import type { HubAccess } from "./hub-access.ts";
import { HubFailure, Patience, requestHub } from "./hub-request.ts";

/** A repository's name. */
export interface RepositoryName {
  readonly kind: "models" | "datasets";
  /** `owner/name`, or a bare name of old. */
  readonly id: string;
}

/** A file as the hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly size: number | null;
  /** Of the content, where the hub stores the file by it (LFS, Xet). */
  readonly sha256: string | null;
  /** git's hash of the content, for small files. */
  readonly gitSha1: string | null;
}

/** A revision, resolved. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

const sha256Pattern = /^[0-9a-f]{64}$/;
const sha1Pattern = /^[0-9a-f]{40}$/;
const listingBytesMax = 64 * 1024 * 1024;

const answerSchema = z.object({
  sha: z.string().regex(sha1Pattern),
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.number().int().nonnegative().nullish(),
      blobId: z.string().nullish(),
      lfs: z
        .object({ sha256: z.string().regex(sha256Pattern), size: z.number().int().nonnegative() })
        .nullish(),
    }),
  ),
});

/** A listing as it is kept in the cache. */
export const listingSchema = z.object({
  commit: z.string().regex(sha1Pattern),
  files: z.array(
    z.object({
      path: z.string(),
      size: z.number().nullable(),
      sha256: z.string().regex(sha256Pattern).nullable(),
      gitSha1: z.string().regex(sha1Pattern).nullable(),
    }),
  ),
});

/** A path that stays within the repository; others are not listed. */
function isPlainPath(path: string): boolean {
  return path !== "" && path.split("/").every((part) => !["", ".", ".."].includes(part));
}

/** The hub's answer as a listing. Throws HubFailure when it is none. */
export function parseListing(json: unknown): Listing {
  const parsed = answerSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new HubFailure(`an answer that is no listing (${issue?.path.join(".")})`, {
      status: 200,
    });
  }
  const files = parsed.data.siblings
    .filter(({ rfilename }) => isPlainPath(rfilename))
    .map(({ rfilename, size, blobId, lfs }) => ({
      path: rfilename,
      size: lfs?.size ?? size ?? null,
      sha256: lfs?.sha256 ?? null,
      gitSha1: !lfs && blobId && sha1Pattern.test(blobId) ? blobId : null,
    }));
  return { commit: parsed.data.sha, files };
}

/** Reads a body of bounded size as UTF-8. */
async function readText(response: Response, patience: Patience): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    patience.heard();
    parts.push(part);
    bytes += part.byteLength;
    if (bytes > listingBytesMax) {
      throw new HubFailure(`an answer of more than ${listingBytesMax} bytes`, { status: 200 });
    }
  }
  return Buffer.concat(parts).toString("utf8");
}

/** `owner/name` for an address. */
function encodedId({ id }: RepositoryName): string {
  return id.split("/").map(encodeURIComponent).join("/");
}

/** Asks the hub. Rejects with HubFailure. */
export async function listRepository(
  name: RepositoryName,
  revision: string,
  access: HubAccess,
): Promise<Listing> {
  const patience = new Patience(access);
  try {
    const path = `/api/${name.kind}/${encodedId(name)}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const { response } = await requestHub(path, access, { patience });
    const text = await readText(response, patience);
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new HubFailure("an answer that is no JSON", { status: 200 });
    }
    return parseListing(json);
  } finally {
    patience.end();
  }
}

/** Where a file's content is. */
export function contentPath(name: RepositoryName, commit: string, path: string): string {
  const prefix = name.kind === "datasets" ? "/datasets" : "";
  const file = path.split("/").map(encodeURIComponent).join("/");
  return `${prefix}/${encodedId(name)}/resolve/${commit}/${file}`;
}

/** A failure that is the user's to mend, in one line; others come back as they are. */
export function explainFailure(
  failure: HubFailure,
  name: RepositoryName,
  revision: string,
  access: HubAccess,
): BadInput | HubFailure {
  const flag = name.kind === "models" ? "--model" : "--dataset";
  const hasToken = Boolean(access.env["HF_TOKEN"]);
  const { status, hubCode } = failure;
  if (status === 401 || status === 403) {
    const gated = hubCode === "GatedRepo";
    return new BadInput({
      flag,
      expected: `${name.id}, as the hub lets you read it`,
      found: failure.message,
      remedy: gated
        ? "accept its conditions on its page, and set HF_TOKEN to a token of yours"
        : hasToken
          ? "check the name, and that HF_TOKEN is valid and may read it"
          : "check the name; if it is private, set HF_TOKEN",
    });
  }
  if (status === 404 && hubCode === "RevisionNotFound") {
    const revisionFlag = name.kind === "models" ? "--model-revision" : flag;
    return new BadInput({
      flag: revisionFlag,
      expected: `a revision of ${name.id}`,
      found: revision,
    });
  }
  if (status === 404 || status === 400) {
    return new BadInput({
      flag,
      expected: `the name of a ${name.kind === "models" ? "model" : "data set"} on the hub, or a local folder`,
      found: name.id,
    });
  }
  return failure;
}
