/** Flags that `predict`, `eval`, `setup` and `doctor` share, read by the rules of the settings' table. */
import { readSetting } from "../../foundation/job/setting.ts";
import {
  settingsSchema,
  type FlatSettings,
  type SettingKey,
} from "../../foundation/job/settings-schema.ts";

/** The value of a flag that means a setting, within its bounds; its default when it is not given. Throws BadInput. */
export function flagValue<Key extends SettingKey>(
  flags: Readonly<Record<string, unknown>>,
  key: Key,
  flag: string,
): FlatSettings[Key] {
  const schema = settingsSchema.shape[key];
  const raw = flags[flag];
  const value =
    raw === undefined ? schema.parse(undefined) : readSetting(schema, raw, { flag: `--${flag}` });
  return value as FlatSettings[Key];
}
