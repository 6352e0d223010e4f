/**
 * What one setting is: a zod schema (type, bounds, default) with what the command line, the environment, the job file,
 * `--help` and a resumed run need to know of it. The tables in `settings-*.ts` are made of these.
 */
import { z } from "zod";
import { BadInput, type BadInputPlace } from "../bad-input.ts";

/** Headings of `--help`, in its order. */
export const settingGroups = [
  "Model",
  "Data",
  "Batches and length",
  "Optimiser and schedule",
  "Evaluation and best model",
  "Output and checkpoints",
  "Workers and services",
] as const;
/** One of those headings. */
export type SettingGroup = (typeof settingGroups)[number];

/** How a setting is written: `map` is a mapping in a job file and JSON on the command line. */
export type SettingForm = "boolean" | "number" | "text" | "list" | "map";

/**
 * What happens when a resumed run is given another value than its checkpoint has: `fixed` is refused, `said` is taken
 * and said aloud, `free` changes nothing that is trained.
 */
export type OnResume = "fixed" | "said" | "free";

/** All that is known of a setting beside its schema. */
export interface SettingInfo {
  readonly group: SettingGroup;
  readonly form: SettingForm;
  /** One line for `--help`. */
  readonly help: string;
  /** Completes "expected …" when a value is refused. */
  readonly expected: string;
  /** How `--help` names the value; unused for booleans. */
  readonly placeholder: string;
  readonly onResume: OnResume;
  /** Other names in kebab-case that mean the same (older or HF's own). */
  readonly aliases?: readonly string[];
  /** The default in words, where it is derived from other settings. */
  readonly defaultText?: string;
  /** Never written to a file, never printed. */
  readonly secret?: boolean;
}

const infos = z.registry<SettingInfo>();

/** Puts a setting's info on its schema. */
export function setting<Schema extends z.ZodType>(schema: Schema, info: SettingInfo): Schema {
  if (infos.has(schema)) throw new Error("Cannot make two settings of one schema");
  infos.add(schema, info);
  return schema;
}

/** The info of a schema made by `setting`. */
export function infoOf(schema: z.core.$ZodType): SettingInfo {
  const info = infos.get(schema);
  if (info === undefined) throw new Error("Cannot describe a schema that is no setting");
  return info;
}

/** `learningRate` → `learning-rate`. */
export function kebabCase(key: string): string {
  return key.replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase();
}

/** `learningRate` → `RINGMASTER_LEARNING_RATE`. */
export function environmentName(key: string): string {
  return `RINGMASTER_${kebabCase(key).replaceAll("-", "_").toUpperCase()}`;
}

const trueWords = new Set(["true", "yes", "on", "1"]);
const falseWords = new Set(["false", "no", "off", "0"]);
const numberPattern = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

function booleanFrom(raw: unknown): unknown {
  if (typeof raw !== "string") return raw;
  if (trueWords.has(raw.toLowerCase())) return true;
  return falseWords.has(raw.toLowerCase()) ? false : raw;
}

function numberFrom(raw: unknown): unknown {
  return typeof raw === "string" && numberPattern.test(raw) ? Number(raw) : raw;
}

function textFrom(raw: unknown): unknown {
  return typeof raw === "number" || typeof raw === "boolean" ? String(raw) : raw;
}

function listFrom(raw: unknown): unknown {
  const list = Array.isArray(raw) ? raw : [raw];
  return list.map(textFrom);
}

function mapFrom(raw: unknown): unknown {
  if (typeof raw !== "string") return raw;
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
}

const readers: Readonly<Record<SettingForm, (raw: unknown) => unknown>> = {
  boolean: booleanFrom,
  number: numberFrom,
  text: textFrom,
  list: listFrom,
  map: mapFrom,
};

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function shown(raw: unknown): string {
  return typeof raw === "string" ? (raw === "" ? "nothing" : raw) : JSON.stringify(raw);
}

/** Reads a raw value (text of a flag, value of a job file). Throws BadInput that names `place`. */
export function readSetting(
  schema: z.ZodType,
  raw: unknown,
  place: Omit<BadInputPlace, "expected">,
): unknown {
  const info = infoOf(schema);
  const value = readers[info.form](raw);
  const result = schema.safeParse(value);
  if (result.success && !(isObject(value) && Object.hasOwn(value, "__proto__"))) return result.data;
  const found = info.secret === true ? {} : { found: shown(raw) };
  throw new BadInput({ ...place, expected: info.expected, ...found });
}
