/** What every use of the hub needs: where it is, who asks, where files are kept. */
import { BadInput } from "../bad-input.ts";
import type { ProgressSink } from "../native/progress.ts";

/** Access to the Hugging Face hub. */
export interface HubAccess {
  /** `HF_ENDPOINT` (default https://huggingface.co), `HF_TOKEN`, `HF_HUB_OFFLINE` are read. */
  readonly env: NodeJS.ProcessEnv;
  /** The cache folder; `hub` in it is the hub's. */
  readonly cacheFolder: string;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
  /** The first wait before something is tried again, in milliseconds; it doubles each time. Default 1000. */
  readonly backoffMs?: number;
  /** A connection that gives nothing for so long is broken off, in milliseconds. Default 30 000. */
  readonly silenceMs?: number;
}

const publicEndpoint = "https://huggingface.co";

/** The hub's address without a slash at its end. Throws BadInput when `HF_ENDPOINT` is no http address. */
export function hubEndpoint(env: NodeJS.ProcessEnv): string {
  const chosen = env["HF_ENDPOINT"] || publicEndpoint;
  const url = URL.canParse(chosen) ? new URL(chosen) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new BadInput({ flag: "HF_ENDPOINT", expected: "an http(s) address", found: chosen });
  }
  return chosen.replace(/\/+$/, "");
}

/** The user's token, or null. Throws BadInput, without saying the token, when it cannot be one. */
export function hubToken(env: NodeJS.ProcessEnv): string | null {
  const token = env["HF_TOKEN"]?.trim() ?? "";
  if (token === "") return null;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new BadInput({ flag: "HF_TOKEN", expected: "printable characters without spaces" });
}

/** Whether the user forbids the network (`HF_HUB_OFFLINE=1`). */
export function isOffline(env: NodeJS.ProcessEnv): boolean {
  return /^(1|on|yes|true)$/i.test(env["HF_HUB_OFFLINE"] ?? "");
}
