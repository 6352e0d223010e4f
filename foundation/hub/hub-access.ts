/** What every use of the hub needs: where it is, who asks, where files are kept. */
import type { ProgressSink } from "../native/progress.ts";

/** Access to the Hugging Face hub. */
export interface HubAccess {
  /** `HF_ENDPOINT` (default https://huggingface.co), `HF_TOKEN`, `HF_HUB_OFFLINE`. */
  readonly env: NodeJS.ProcessEnv;
  /** The cache folder; `hub` in it is the hub's. */
  readonly cacheFolder: string;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
  /** First wait before an attempt is repeated, in milliseconds; doubles each time. Default 1000. */
  readonly backoffMs?: number;
}
