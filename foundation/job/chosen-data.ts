/**
 * Which data a job means when its layers name several: files given on the command line replace a job file's dataset, and
 * a dataset its files, so that a shipped job can be run on one's own data.
 */
import { BadInput } from "../bad-input.ts";
import { givenIn, type Layer } from "./job-layers.ts";
import type { FlatSettings, SettingKey } from "./settings-schema.ts";

const fileKeys = ["trainFile", "validationFile", "testFile"] as const;
type Replaced = Partial<Pick<FlatSettings, "dataset" | (typeof fileKeys)[number]>>;

function rankOf(layers: readonly Layer[], key: SettingKey): number {
  return layers.findLastIndex((layer) => layer.values.has(key));
}

/** The keys that lose, emptied. Throws BadInput when one layer gives both dataset and training files. */
export function chosenData(layers: readonly Layer[]): Replaced {
  const dataset = rankOf(layers, "dataset");
  const train = rankOf(layers, "trainFile");
  if (dataset === -1 || train === -1) return {};
  if (dataset === train) {
    throw new BadInput({
      ...givenIn(layers, "trainFile")?.place,
      expected: "a dataset or training files",
      found: "both",
    });
  }
  if (train > dataset) return { dataset: null };
  const lower = fileKeys.filter((key) => rankOf(layers, key) < dataset);
  return Object.fromEntries(lower.map((key) => [key, []]));
}
