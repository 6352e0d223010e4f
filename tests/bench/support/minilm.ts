/** The real MiniLM of the quick start, from the cache or fetched. */
import { ensureQuickstart } from "../../../coordinator/quickstart/quickstart.ts";
import { createProgressSink } from "../../../foundation/native/progress.ts";

/** Its folder. */
export async function ensureMiniLm(): Promise<string> {
  const { modelFolder } = await ensureQuickstart({
    env: process.env,
    progress: createProgressSink({
      output: process.stderr,
      isTerminal: process.stderr.isTTY,
      now: () => performance.now(),
    }),
    signal: new AbortController().signal,
  });
  return modelFolder;
}
