/** Which checkpoints of an output folder stay: the newest ones up to the limit, and always the best. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

const namePattern = /^checkpoint-(\d{1,15})$/u;

/** Name of the checkpoint folder of a step. */
export function checkpointName(step: number): string {
  return `checkpoint-${step}`;
}

/** Steps of the checkpoints in a folder, ascending. */
export async function checkpointSteps(outputDir: string): Promise<readonly number[]> {
  const names = await readdir(outputDir).catch(() => []);
  return names
    .flatMap((name) => {
      const step = namePattern.exec(name)?.[1];
      return step === undefined ? [] : [Number(step)];
    })
    .toSorted((left, right) => left - right);
}

/**
 * The steps whose checkpoints go. Pure.
 * @param limit checkpoints that stay; null keeps all
 * @param best step of the best checkpoint, which counts but never goes; null for none
 */
export function stepsToRemove(
  steps: readonly number[],
  limit: number | null,
  best: number | null,
): readonly number[] {
  if (limit === null) return [];
  const newest = steps.at(-1);
  const spared = (step: number): boolean => step === best || step === newest;
  const surplus = steps.length - Math.max(1, limit);
  return steps.filter((step) => !spared(step)).slice(0, Math.max(0, surplus));
}

/** Removes what the limit leaves no room for. */
export async function rotateCheckpoints(
  outputDir: string,
  limit: number | null,
  best: number | null,
): Promise<void> {
  for (const step of stepsToRemove(await checkpointSteps(outputDir), limit, best)) {
    await rm(join(outputDir, checkpointName(step)), { recursive: true, force: true });
  }
}
