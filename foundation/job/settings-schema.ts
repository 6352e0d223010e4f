/** The one table of settings: every key with its type, bounds, default and help. */
import { z } from "zod";
import { setting } from "./setting.ts";
import { dataSettings, modelSettings } from "./settings-model.ts";
import { launchSettings } from "./settings-launch.ts";
import { evaluationSettings, outputSettings } from "./settings-run.ts";
import { batchSettings, optimizerSettings } from "./settings-training.ts";

/** All settings by key, in the order of `--help`. Parsing `{}` gives the defaults. */
export const settingsSchema = z.object({
  ...modelSettings,
  ...dataSettings,
  ...batchSettings,
  ...optimizerSettings,
  ...evaluationSettings,
  job: setting(
    z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/)
      .nullable()
      .default(null),
    {
      group: "Output and checkpoints",
      form: "text",
      placeholder: "name",
      help: "names the default output folder",
      expected:
        "a name of letters, digits, `.`, `-` and `_` (the job file is given without a flag)",
      onResume: "free",
      defaultText: "the job file's or the data's name",
    },
  ),
  ...outputSettings,
  ...launchSettings,
});

/** Values by key, each within its bounds; what is derived is still null. */
export type FlatSettings = z.output<typeof settingsSchema>;
/** A key of the table, in camelCase. */
export type SettingKey = keyof FlatSettings;

/** All keys, in the table's order. */
export const settingKeys: readonly SettingKey[] = settingsSchema.keyof().options;
