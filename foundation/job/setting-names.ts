/** What a name on the command line or in a job file means: a setting, a field of TrainingArguments, or nothing. */
import { BadInput, type BadInputPlace } from "../bad-input.ts";
import { nearestName } from "./nearest.ts";
import { infoOf, kebabCase } from "./setting.ts";
import { settingKeys, settingsSchema, type SettingKey } from "./settings-schema.ts";
import type { TrainerField } from "./trainer-field.ts";
import { trainerFields } from "./trainer-fields.ts";

/** What a name stands for. */
export type Meaning =
  | { readonly kind: "setting"; readonly key: SettingKey }
  | { readonly kind: "trainer-field"; readonly field: TrainerField };

function buildMeanings(): ReadonlyMap<string, Meaning> {
  const meanings = new Map<string, Meaning>();
  for (const field of trainerFields) {
    meanings.set(field.name.replaceAll("_", "-"), { kind: "trainer-field", field });
  }
  for (const key of settingKeys) {
    const names = [kebabCase(key), ...(infoOf(settingsSchema.shape[key]).aliases ?? [])];
    for (const name of names) meanings.set(name, { kind: "setting", key });
  }
  return meanings;
}

const meanings = buildMeanings();

/** Names of all settings, aliases included, and of all fields of TrainingArguments, in kebab-case. */
export const knownNames: readonly string[] = [...meanings.keys()];

/** The meaning of a name in kebab- or snake_case. Throws BadInput with the nearest known one. */
export function meaningOf(name: string, place: Omit<BadInputPlace, "expected" | "flag">): Meaning {
  const meaning = meanings.get(name.replaceAll("_", "-"));
  if (meaning !== undefined) return meaning;
  const nearest = nearestName(name.replaceAll("_", "-"), knownNames);
  throw new BadInput({
    ...place,
    expected: "a known key",
    found: name,
    remedy: nearest === null ? "docs/job-file.md lists them" : `did you mean ${nearest}?`,
  });
}
