/**
 * One request to the hub: redirects followed by hand, so that the token never leaves the hub's own origin; what went wrong
 * sorted into what is worth another attempt and what is not.
 */
import { hubEndpoint, hubToken, type HubAccess } from "./hub-access.ts";

/** An answer that is no success, or none at all. */
export class HubFailure extends Error {
  override readonly name = "HubFailure";
  /** HTTP status; null when no whole answer came. */
  readonly status: number | null;
  /** The hub's own word for it, such as `GatedRepo` or `RevisionNotFound`. */
  readonly hubCode: string | null;
  /** How long the hub asks to wait. */
  readonly retryAfterMs: number | null;

  constructor(
    message: string,
    details: Partial<Pick<HubFailure, "status" | "hubCode" | "retryAfterMs">> = {},
  ) {
    super(message);
    this.status = details.status ?? null;
    this.hubCode = details.hubCode ?? null;
    this.retryAfterMs = details.retryAfterMs ?? null;
  }

  /** Whether another attempt may do better. */
  get isPassing(): boolean {
    return this.status === null || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** A success, its body not read yet. */
export interface HubAnswer {
  readonly response: Response;
  /** The content's hash that the hub itself gave on the way (`X-Linked-Etag`, else `ETag`), quotes taken off. */
  readonly etag: string | null;
}

const redirectsMax = 10;
const defaultSilenceMs = 30_000;

/** Aborts with the caller's signal, or when `heard` is not called for a while. */
export class Patience {
  private readonly controller = new AbortController();
  private readonly silenceMs: number;
  private timer: NodeJS.Timeout | undefined;
  readonly signal: AbortSignal;

  constructor(access: HubAccess) {
    this.silenceMs = access.silenceMs ?? defaultSilenceMs;
    this.signal = AbortSignal.any([access.signal, this.controller.signal]);
    this.heard();
  }

  /** Something came. */
  heard(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.controller.abort(new HubFailure(`no answer for ${this.silenceMs} ms`));
    }, this.silenceMs);
  }

  /** Nothing more is awaited. */
  end(): void {
    clearTimeout(this.timer);
  }
}

/** `Retry-After` in seconds, or as a date that is compared with the answer's own. */
export function retryAfterMs(header: string | null, date: string | null): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const wait = Date.parse(header) - Date.parse(date ?? "");
  return Number.isNaN(wait) ? null : Math.max(0, wait);
}

function plainEtag(header: string | null): string | null {
  return header?.replace(/^W\//, "").replaceAll('"', "") ?? null;
}

function failureOf(response: Response): HubFailure {
  const { status, headers } = response;
  const said = headers.get("x-error-message");
  return new HubFailure(`HTTP ${status}${said === null ? "" : `: ${said}`}`, {
    status,
    hubCode: headers.get("x-error-code"),
    retryAfterMs: retryAfterMs(headers.get("retry-after"), headers.get("date")),
  });
}

/** The cause that fetch hides, in one line. */
function describeNetworkError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  const code = "code" in cause ? String(cause.code) : "";
  return cause.message.includes(code) ? cause.message : `${cause.message} (${code})`;
}

/** A thrown thing as a HubFailure; the caller's own abort is thrown on. */
export function asFailure(error: unknown, access: HubAccess): HubFailure {
  access.signal.throwIfAborted();
  return error instanceof HubFailure ? error : new HubFailure(describeNetworkError(error));
}

function redirectTarget(response: Response, from: URL): URL {
  const location = response.headers.get("location");
  if (location === null || !URL.canParse(location, from.href)) {
    throw new HubFailure(`HTTP ${response.status} without a place to go`, {
      status: response.status,
    });
  }
  const target = new URL(location, from);
  if (from.protocol === "https:" && target.protocol !== "https:") {
    throw new HubFailure(`a redirect from https to ${target.protocol}//${target.host}`, {
      status: response.status,
    });
  }
  return target;
}

/**
 * GETs a path of the hub, or an address that it gave. Rejects with HubFailure; with the signal's reason when aborted.
 * @param patience ends waiting; the caller goes on using it while it reads the body
 */
export async function requestHub(
  path: string,
  access: HubAccess,
  request: { readonly patience: Patience; readonly headers?: Readonly<Record<string, string>> },
): Promise<HubAnswer> {
  const endpoint = hubEndpoint(access.env);
  const token = hubToken(access.env);
  let url = new URL(`${endpoint}${path}`);
  const { origin } = url;
  let linkedEtag: string | null = null;
  try {
    for (let hops = 0; hops <= redirectsMax; hops++) {
      const isOwn = url.origin === origin;
      const response = await fetch(url, {
        redirect: "manual",
        signal: request.patience.signal,
        headers: {
          // Compressed transfer could not be resumed at a byte.
          "accept-encoding": "identity",
          "user-agent": "ringmaster",
          ...request.headers,
          ...(isOwn && token !== null ? { authorization: `Bearer ${token}` } : {}),
        },
      });
      request.patience.heard();
      if (isOwn) linkedEtag = plainEtag(response.headers.get("x-linked-etag")) ?? linkedEtag;
      if (response.status < 300) {
        const own = isOwn ? plainEtag(response.headers.get("etag")) : null;
        return { response, etag: linkedEtag ?? own };
      }
      await response.body?.cancel();
      if (response.status >= 400 || response.status === 304) throw failureOf(response);
      url = redirectTarget(response, url);
    }
  } catch (error) {
    throw asFailure(error, access);
  }
  throw new HubFailure(`more than ${redirectsMax} redirects`, { status: 310 });
}
