/** The labels that a model folder states, so that data is read by its label map. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { familyOfConfig } from "../../foundation/families/family.ts";
import { decodeUtf8, parseJsonObject } from "../../foundation/model-files/json-object.ts";

/**
 * The labels of a fine-tuned classifier in the order of their numbers; null for a model whose head will be new. What is
 * wrong with the folder beyond its config is for `loadModel` to say.
 */
export async function statedLabels(folder: string): Promise<readonly string[] | null> {
  const file = join(folder, "config.json");
  const bytes = await readFile(file).catch(() => null);
  if (bytes === null) return null;
  const config = parseJsonObject(decodeUtf8(bytes, file), file);
  const labels = familyOfConfig(config, file).labels(config);
  const architectures = config["architectures"];
  const classifies =
    Array.isArray(architectures) &&
    architectures.some(
      (name) => typeof name === "string" && name.endsWith("ForSequenceClassification"),
    );
  const named = labels.some((label, number) => label !== `LABEL_${number}`);
  return classifies || named ? labels : null;
}
