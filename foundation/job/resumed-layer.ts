/**
 * The lowest layer of a resumed run: what its checkpoint was trained with. What decides the weights may not be given
 * anew with another value; what may, is said.
 */
import { isDeepStrictEqual } from "node:util";
import { BadInput } from "../bad-input.ts";
import { givenIn, type Layer } from "./job-layers.ts";
import { infoOf, kebabCase } from "./setting.ts";
import { settingsSchema, type SettingKey } from "./settings-schema.ts";

/** What belongs to the run that was, not to the one that goes on. */
const ofThatRun: ReadonlySet<SettingKey> = new Set([
  "outputDir",
  "overwriteOutputDir",
  "resumeFromCheckpoint",
  "gradientAccumulationSteps",
  "spawnWorkers",
  "listen",
  "metricsListen",
  "nats",
  "tlsCert",
  "tlsKey",
  "tlsCa",
]);

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * The checkpoint's layer without what belongs to its run only.
 * @param given the other layers; a value there that contradicts a fixed setting throws BadInput
 */
export function resumedLayer(checkpoint: Layer, given: readonly Layer[]): Layer {
  const notes: string[] = [];
  const kept = [...checkpoint.values].filter(([key]) => !ofThatRun.has(key));
  for (const [key, { value }] of kept) {
    const now = givenIn(given, key);
    if (now === undefined || isDeepStrictEqual(now.value, value)) continue;
    const { onResume } = infoOf(settingsSchema.shape[key]);
    if (onResume === "fixed") {
      throw new BadInput({
        ...now.place,
        expected: `the checkpoint's ${shown(value)}, or nothing, when resuming`,
        found: shown(now.value),
      });
    }
    if (onResume === "said") {
      notes.push(
        `${kebabCase(key)} is now ${shown(now.value)}; the checkpoint had ${shown(value)}`,
      );
    }
  }
  return { values: new Map(kept), notes };
}
