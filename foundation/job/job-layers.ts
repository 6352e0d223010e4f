/**
 * The layers that a job is made of: job file, environment, flags, in rising order. Each is checked by itself, so that a
 * mistake is told where it was made.
 */
import { BadInput, type BadInputPlace } from "../bad-input.ts";
import { readJobFile } from "./job-file.ts";
import { environmentName, kebabCase, readSetting } from "./setting.ts";
import { meaningOf } from "./setting-names.ts";
import { settingKeys, settingsSchema, type SettingKey } from "./settings-schema.ts";
import type { TrainerField } from "./trainer-field.ts";

/** Where a value was given. */
export type Place = Omit<BadInputPlace, "expected">;

/** One value as given, within its bounds. */
export interface GivenValue {
  readonly value: unknown;
  readonly place: Place;
}

/** What one source says. */
export interface Layer {
  readonly values: ReadonlyMap<SettingKey, GivenValue>;
  /** Lines to tell: fields that have no effect. */
  readonly notes: readonly string[];
}

interface Entry {
  readonly name: string;
  readonly raw: unknown;
  readonly place: Place;
}

function textOf(raw: unknown): string {
  if (typeof raw !== "string") return JSON.stringify(raw);
  return raw === "True" || raw === "False" ? raw.toLowerCase() : raw;
}

/** What a field of TrainingArguments asks for: a setting's raw value, or only a note, or neither. */
function translate(
  field: TrainerField,
  entry: Entry,
): { key?: SettingKey; raw?: unknown; note?: string } {
  const { treatment } = field;
  switch (treatment.kind) {
    case "supported":
      return { key: treatment.key, raw: entry.raw };
    case "ignored":
      return { note: `${entry.name} has no effect: ${treatment.because}` };
    case "translated": {
      const text = textOf(entry.raw);
      const meant = Object.hasOwn(treatment.values, text) ? treatment.values[text] : undefined;
      if (meant === null) return {};
      if (meant !== undefined) return { key: meant[0], raw: meant[1] };
      const expected = Object.keys(treatment.values).join(" or ");
      throw new BadInput({ ...entry.place, expected, found: text, remedy: treatment.instead });
    }
    case "refused":
      if (treatment.harmless.includes(textOf(entry.raw))) return {};
      throw new BadInput({
        ...entry.place,
        expected: "this field of transformers to be left out",
        found: textOf(entry.raw),
        remedy: `instead: ${treatment.instead}`,
      });
  }
}

function toLayer(entries: readonly Entry[]): Layer {
  const values = new Map<SettingKey, GivenValue>();
  const notes: string[] = [];
  for (const entry of entries) {
    const { flag: _flag, ...place } = entry.place;
    const meaning = meaningOf(entry.name, place);
    if (entry.raw === null) continue;
    const asked =
      meaning.kind === "setting"
        ? { key: meaning.key, raw: entry.raw }
        : translate(meaning.field, entry);
    if (asked.note !== undefined) notes.push(asked.note);
    if (asked.key === undefined) continue;
    if (values.has(asked.key)) {
      throw new BadInput({
        ...entry.place,
        expected: `${kebabCase(asked.key)} once`,
        found: "it twice",
      });
    }
    const value = readSetting(settingsSchema.shape[asked.key], asked.raw, entry.place);
    values.set(asked.key, { value, place: entry.place });
  }
  return { values, notes };
}

/** The layer of a job file. */
export function fileLayer(text: string, file: string): Layer {
  const entries = readJobFile(text, file);
  return toLayer(
    entries.map(({ name, raw, line }) => ({ name, raw, place: { flag: name, file, line } })),
  );
}

function listOf(text: string): string[] {
  return text.split(",").map((part) => part.trim());
}

/** The layer of the environment: RINGMASTER_LEARNING_RATE and its like; lists are separated by commas. */
export function environmentLayer(env: NodeJS.ProcessEnv): Layer {
  const values = new Map<SettingKey, GivenValue>();
  for (const key of settingKeys) {
    const name = environmentName(key);
    const text = env[name];
    if (text === undefined || text === "") continue;
    const schema = settingsSchema.shape[key];
    const place = { flag: name };
    const raw = Array.isArray(settingsSchema.shape[key].parse(undefined)) ? listOf(text) : text;
    values.set(key, { value: readSetting(schema, raw, place), place });
  }
  return { values, notes: [] };
}

/** The layer of the command line: raw values by name in kebab-case, without the dashes. */
export function flagLayer(flags: Readonly<Record<string, unknown>>): Layer {
  return toLayer(
    Object.entries(flags).map(([name, raw]) => ({ name, raw, place: { flag: `--${name}` } })),
  );
}

/** The highest layer's word on a key. Layers come in rising order. */
export function givenIn(layers: readonly Layer[], key: SettingKey): GivenValue | undefined {
  return layers.findLast((layer) => layer.values.has(key))?.values.get(key);
}
