/**
 * How a field of transformers' TrainingArguments is treated here, and the constructors that `trainer-fields.ts` writes
 * its table with. A field is supported (a setting of the same meaning), translated, without effect, or refused with the
 * equivalent named.
 */
import type { SettingKey } from "./settings-schema.ts";

/** What is done with a field. `null` always means "not given". */
export type Treatment =
  /** The setting of that key is meant. */
  | { readonly kind: "supported"; readonly key: SettingKey }
  /** Some values stand for a setting's value or, where null, for nothing; others are refused. */
  | {
      readonly kind: "translated";
      readonly values: Readonly<Record<string, readonly [SettingKey, string] | null>>;
      readonly instead: string;
    }
  /** Accepted; said to have no effect. */
  | { readonly kind: "ignored"; readonly because: string }
  /** Refused unless the value asks for nothing. `instead` says what to use. */
  | { readonly kind: "refused"; readonly harmless: readonly string[]; readonly instead: string };

/** One field. */
export interface TrainerField {
  /** Name in snake_case, as in transformers. */
  readonly name: string;
  /** Whether it is a flag without a value on the command line. */
  readonly boolean: boolean;
  readonly treatment: Treatment;
}

/** A field with a setting of its own. */
export function supported(name: string, key: SettingKey): TrainerField {
  return { name, boolean: false, treatment: { kind: "supported", key } };
}

/** A field whose values are said in another setting's. */
export function translated(
  name: string,
  values: Readonly<Record<string, readonly [SettingKey, string] | null>>,
  instead: string,
): TrainerField {
  const boolean = Object.keys(values).every((value) => value === "true" || value === "false");
  return { name, boolean, treatment: { kind: "translated", values, instead } };
}

/** A field that is accepted and changes nothing. */
export function ignored(name: string, because: string, boolean: "flag" | "value"): TrainerField {
  return { name, boolean: boolean === "flag", treatment: { kind: "ignored", because } };
}

/** A flag that is refused when it is set. */
export function refusedFlag(name: string, instead: string): TrainerField {
  return { name, boolean: true, treatment: { kind: "refused", harmless: ["false"], instead } };
}

/** A field whose values are refused but for the harmless ones (by their text; JSON for lists and mappings). */
export function refused(
  name: string,
  instead: string,
  harmless: readonly string[] = [],
): TrainerField {
  return { name, boolean: false, treatment: { kind: "refused", harmless, instead } };
}
