/** Measures a process of its own that indexes a file and draws from it. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const resultSchema = z.object({
  records: z.number(),
  indexMs: z.number(),
  indexCpuMs: z.number(),
  drawMs: z.number(),
  drawn: z.number(),
  heldBytes: z.number(),
  rssBytes: z.number(),
  peakBytes: z.number(),
});

/**
 * What a file costs: time to check and index it and to draw samples all over it; `heldBytes` that the index holds,
 * `rssBytes` of the process afterwards, `peakBytes` on the way.
 */
export type DataCost = z.infer<typeof resultSchema> & { readonly fileBytes: number };

/**
 * @param batches global batches of 32 to draw, spread over an epoch
 * @param nodeFlags of the process; default none
 */
export async function measureData(
  file: string,
  batches: number,
  nodeFlags: readonly string[] = [],
): Promise<DataCost> {
  const script = fileURLToPath(new URL("./data-process.ts", import.meta.url));
  const child = fork(script, { execArgv: [...nodeFlags, "--import", "tsx", "--expose-gc"] });
  const result = once(child, "message");
  const ended = once(child, "exit");
  child.send({ file, cacheFolder: dirname(file), batches });
  const answer: unknown = await Promise.race([
    result.then(([message]: unknown[]) => message),
    ended.then(([code]: unknown[]) => Promise.reject(new Error(`ended with ${String(code)}`))),
  ]);
  await ended;
  return { ...resultSchema.parse(answer), fileBytes: (await stat(file)).size };
}
