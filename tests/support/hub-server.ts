/**
 * A hub of our own on loopback that speaks the Hugging Face hub's protocol: listings, `resolve` with redirects of large
 * files to a store on another origin, ETags, ranges, tokens; and it can be told to fail in every way that matters.
 */
import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join, relative, sep } from "node:path";

/** A repository at one commit. */
export interface ServedRepository {
  readonly files: ReadonlyMap<string, Buffer>;
  /** Only with this token. */
  readonly token?: string;
  /** Only after its conditions were accepted. */
  readonly gated?: boolean;
}

/** How an answer goes wrong. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The connection breaks after so many bytes of the body. */
  | { readonly kind: "break"; readonly afterBytes: number }
  /** The body is shorter, but the answer claims that it is whole. */
  | { readonly kind: "truncate"; readonly toBytes: number }
  /** Another content of the same size. */
  | { readonly kind: "otherBytes" }
  /** The range asked for is not heeded. */
  | { readonly kind: "ignoreRange" }
  /** Nothing more is said. */
  | { readonly kind: "silence" }
  | { readonly kind: "redirect"; readonly location: string };

/** A request as it came. */
export interface SeenRequest {
  readonly origin: "hub" | "store";
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
}

/** A running hub. */
export interface HubServer {
  /** For `HF_ENDPOINT`. */
  readonly url: string;
  readonly storeUrl: string;
  readonly requests: SeenRequest[];
  /** Decides for each request whether it fails; replace it at will. */
  fault: (request: SeenRequest) => Fault | null;
  close(): Promise<void>;
}

/** What is served: `models/owner/name` or `datasets/owner/name`, with `@revision` where it is not main. */
export interface HubContent {
  readonly repositories: ReadonlyMap<string, ServedRepository>;
  /** Old names, as `models/bert-base-uncased`, and where they moved. */
  readonly moved?: ReadonlyMap<string, string>;
}

/** Smaller files are git's own and come from the hub itself. */
const largeFileBytesMin = 10_000;

function isLarge(path: string, content: Buffer): boolean {
  return content.length >= largeFileBytesMin || /\.(safetensors|parquet)$/.test(path);
}

function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function gitSha1(content: Buffer): string {
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

/** A repository's commit: a function of its content. */
export function commitOf(repository: ServedRepository): string {
  const hash = createHash("sha1");
  for (const [path, content] of repository.files) hash.update(`${path} ${sha256(content)}\n`);
  return hash.digest("hex");
}

/** The files under a folder, as a repository. */
export async function repositoryFromFolder(folder: string): Promise<ServedRepository> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(folder, path).split(sep).join("/"), await readFile(path));
  }
  return { files };
}

function listing(repository: ServedRepository): object {
  return {
    sha: commitOf(repository),
    siblings: [...repository.files].map(([path, content]) => ({
      rfilename: path,
      size: content.length,
      blobId: gitSha1(content),
      ...(isLarge(path, content)
        ? { lfs: { sha256: sha256(content), size: content.length, pointerSize: 134 } }
        : {}),
    })),
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

function error(status: number, code: string): Answer {
  return {
    status,
    headers: { "x-error-code": code, "x-error-message": code },
    body: Buffer.alloc(0),
  };
}

function json(value: object): Answer {
  const headers = { "content-type": "application/json" };
  return { status: 200, headers, body: Buffer.from(JSON.stringify(value)) };
}

const apiPattern = /^\/api\/(models|datasets)\/(.+)\/revision\/([^/?]+)/;
const resolvePattern = /^\/(datasets\/)?([^/]+(?:\/[^/]+)?)\/resolve\/([^/]+)\/(.+)$/;

class Hub {
  readonly requests: SeenRequest[] = [];
  fault: (request: SeenRequest) => Fault | null = () => null;
  storeUrl = "";
  private readonly content: HubContent;
  private readonly store = new Map<string, Buffer>();

  constructor(content: HubContent) {
    this.content = content;
    for (const { files } of content.repositories.values()) {
      for (const file of files.values()) this.store.set(sha256(file), file);
    }
  }

  private find(name: string, revision: string): ServedRepository | null {
    const { repositories } = this.content;
    const atRevision = repositories.get(revision === "main" ? name : `${name}@${revision}`);
    if (atRevision !== undefined) return atRevision;
    const known = [...repositories].filter(([key]) => key === name || key.startsWith(`${name}@`));
    return known.find(([, repository]) => commitOf(repository) === revision)?.[1] ?? null;
  }

  private refusal(
    name: string,
    repository: ServedRepository | null,
    seen: SeenRequest,
  ): Answer | null {
    const isKnown = [...this.content.repositories.keys()].some((key) => key.split("@")[0] === name);
    if (!isKnown) return error(401, "RepoNotFound");
    if (repository === null) return error(404, "RevisionNotFound");
    if (repository.gated === true) return error(403, "GatedRepo");
    const { token } = repository;
    if (token !== undefined && seen.authorization !== `Bearer ${token}`) {
      return error(401, "RepoNotFound");
    }
    return null;
  }

  answerOfHub(seen: SeenRequest): Answer {
    const api = apiPattern.exec(seen.path);
    const file = resolvePattern.exec(seen.path);
    const [kind, id, revision] = api
      ? [api[1], api[2], api[3]]
      : [file?.[1] ? "datasets" : "models", file?.[2], file?.[3]];
    const name = `${kind}/${decodeURIComponent(id ?? "")}`;
    const moved = this.content.moved?.get(name);
    if (moved !== undefined) {
      const location = seen.path.replace(id ?? "", moved.split("/").slice(1).join("/"));
      return { status: 307, headers: { location }, body: Buffer.alloc(0) };
    }
    const repository = this.find(name, decodeURIComponent(revision ?? ""));
    const refusal = this.refusal(name, repository, seen);
    if (refusal !== null || repository === null) return refusal ?? error(404, "RepoNotFound");
    if (api) return json(listing(repository));
    const path = decodeURIComponent(file?.[4] ?? "");
    const content = repository.files.get(path);
    if (content === undefined) return error(404, "EntryNotFound");
    const common = { "x-repo-commit": commitOf(repository) };
    if (!isLarge(path, content)) {
      return { status: 200, headers: { ...common, etag: `"${gitSha1(content)}"` }, body: content };
    }
    const hash = sha256(content);
    const linked = { "x-linked-etag": `"${hash}"`, "x-linked-size": String(content.length) };
    const location = `${this.storeUrl}/${hash}?signature=abc`;
    return { status: 302, headers: { ...common, ...linked, location }, body: Buffer.alloc(0) };
  }

  answerOfStore(seen: SeenRequest): Answer {
    // A store that is sent the hub's token as well as its own signature refuses.
    if (seen.authorization !== null) return error(400, "InvalidArgument");
    const content = this.store.get(seen.path.slice(1).split("?")[0] ?? "");
    if (content === undefined) return error(404, "NoSuchKey");
    return { status: 200, headers: { etag: '"store"' }, body: content };
  }

  handle(origin: "hub" | "store", request: IncomingMessage, response: ServerResponse): void {
    const seen: SeenRequest = {
      origin,
      path: request.url ?? "",
      range: request.headers.range ?? null,
      authorization: request.headers.authorization ?? null,
    };
    this.requests.push(seen);
    const fault = this.fault(seen);
    const answer = origin === "hub" ? this.answerOfHub(seen) : this.answerOfStore(seen);
    send(
      fault === null || fault.kind !== "ignoreRange" ? ranged(answer, seen) : answer,
      fault,
      response,
    );
  }
}

function ranged(answer: Answer, { range }: SeenRequest): Answer {
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? Number.NaN);
  if (answer.status !== 200 || Number.isNaN(start)) return answer;
  const { length } = answer.body;
  if (start >= length)
    return { ...error(416, ""), headers: { "content-range": `bytes */${length}` } };
  const headers = { ...answer.headers, "content-range": `bytes ${start}-${length - 1}/${length}` };
  return { status: 206, headers, body: answer.body.subarray(start) };
}

function send(answer: Answer, fault: Fault | null, response: ServerResponse): void {
  const { headers, body } = answer;
  if (fault === null || fault.kind === "ignoreRange") {
    response.writeHead(answer.status, { ...headers, "content-length": body.length }).end(body);
    return;
  }
  switch (fault.kind) {
    case "status":
      response.writeHead(fault.status, fault.headers).end();
      return;
    case "redirect":
      response.writeHead(302, { location: fault.location }).end();
      return;
    case "silence":
      return;
    case "break":
      response.writeHead(answer.status, { ...headers, "content-length": body.length });
      response.write(body.subarray(0, fault.afterBytes), () => response.destroy());
      return;
    case "truncate":
      response.writeHead(answer.status, headers).end(body.subarray(0, fault.toBytes));
      return;
    case "otherBytes":
      response.writeHead(answer.status, headers).end(Buffer.alloc(body.length, 0x2a));
      return;
  }
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}`;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Starts hub and store on free ports. */
export async function startHubServer(content: HubContent): Promise<HubServer> {
  const hub = new Hub(content);
  const front = createServer((request, response) => hub.handle("hub", request, response));
  const store = createServer((request, response) => hub.handle("store", request, response));
  hub.storeUrl = await listen(store);
  const url = await listen(front);
  return {
    url,
    storeUrl: hub.storeUrl,
    requests: hub.requests,
    get fault() {
      return hub.fault;
    },
    set fault(decide) {
      hub.fault = decide;
    },
    close: async () => {
      await Promise.all([close(front), close(store)]);
    },
  };
}
