/** The flags of `coordinator train`, made from the table of settings and from transformers' TrainingArguments. */
import { Option, type Command } from "commander";
import { infoOf, kebabCase } from "../foundation/job/setting.ts";
import { knownNames, meaningOf } from "../foundation/job/setting-names.ts";
import { settingKeys, settingsSchema, type SettingKey } from "../foundation/job/settings-schema.ts";
import { defaultTextOf } from "../foundation/job/settings-page.ts";
import type { BooleanFlags } from "./arguments.ts";

function described(key: SettingKey): string {
  const text = defaultTextOf(key);
  const { help } = infoOf(settingsSchema.shape[key]);
  return text === "" ? help : `${help} (default: ${text})`;
}

function settingOption(key: SettingKey, flag: string): Option {
  const { form, placeholder, group } = infoOf(settingsSchema.shape[key]);
  const value = form === "boolean" ? "" : ` <${placeholder}>`;
  return new Option(`--${flag}${value}`, described(key)).helpGroup(`${group}:`);
}

/** Every flag of a job: settings with their help; aliases and transformers' other fields hidden. */
export function addSettingFlags(command: Command): void {
  for (const key of settingKeys) {
    const name = kebabCase(key);
    command.addOption(settingOption(key, name));
    if (infoOf(settingsSchema.shape[key]).form === "boolean") {
      command.addOption(new Option(`--no-${name}`).hideHelp());
    }
    for (const alias of infoOf(settingsSchema.shape[key]).aliases ?? []) {
      command.addOption(settingOption(key, alias).hideHelp());
    }
  }
  for (const name of knownNames) {
    const meaning = meaningOf(name, {});
    if (meaning.kind === "setting" || name.startsWith("-")) continue;
    command.addOption(new Option(`--${name} <value>`).hideHelp());
  }
}

/** The flags of a job that need no value. */
export function booleanFlags(): BooleanFlags {
  const own = new Set<string>();
  const foreign = new Set<string>();
  for (const name of knownNames) {
    const meaning = meaningOf(name, {});
    if (meaning.kind === "setting") {
      if (infoOf(settingsSchema.shape[meaning.key]).form === "boolean") own.add(name);
    } else if (meaning.field.boolean) {
      foreign.add(name);
    }
  }
  return { own, foreign };
}

/** What was given on the command line, raw, by name without the dashes. */
export function givenFlags(command: Command): Readonly<Record<string, unknown>> {
  const known = new Set(knownNames);
  const given = command.options.flatMap((option): (readonly [string, unknown])[] => {
    const name = option.long?.slice(2) ?? "";
    const attribute = option.attributeName();
    if (!known.has(name) || command.getOptionValueSource(attribute) !== "cli") return [];
    const value: unknown = command.getOptionValue(attribute);
    return [[name, typeof value === "boolean" ? String(value) : value]];
  });
  return Object.fromEntries(given);
}
