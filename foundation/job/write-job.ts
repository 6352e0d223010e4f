/** Writes all effective settings as a job file that parses back to the same job; secrets stay out. */
import { stringify } from "yaml";
import { inexactNote, wireForms } from "../gradient-wire.ts";
import { infoOf, kebabCase, settingGroups } from "./setting.ts";
import {
  settingKeys,
  settingsSchema,
  type FlatSettings,
  type SettingKey,
} from "./settings-schema.ts";
import type { JobSettings, LaunchSettings } from "./settings.ts";

function flatOf(settings: JobSettings, launch: LaunchSettings): FlatSettings {
  const { data, ...job } = settings;
  const { trainFiles, validationFiles, testFiles, ...columns } = data;
  const files = { trainFile: trainFiles, validationFile: validationFiles, testFile: testFiles };
  return settingsSchema.parse({ ...job, ...columns, ...files, ...launch });
}

function lineOf(key: SettingKey, value: unknown): string {
  const text = stringify(
    { [kebabCase(key)]: value },
    { flowCollectionPadding: false, lineWidth: 0, collectionStyle: "flow" },
  );
  return text.trim().replace(/^\{(.*)\}$/s, "$1");
}

/** A URL without user and password. */
function withoutCredentials(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^@/]*@/, "$1");
}

/** The text of `job.yaml`. */
export function writeJob(settings: JobSettings, launch: LaunchSettings): string {
  const { nats } = launch;
  const flat = flatOf(settings, {
    ...launch,
    nats: nats === null ? null : withoutCredentials(nats),
  });
  const blocks = settingGroups.map((group) => {
    const lines = settingKeys.flatMap((key) => {
      const info = infoOf(settingsSchema.shape[key]);
      const skipped = info.group !== group || info.secret === true || flat[key] === null;
      if (skipped) return [];
      const isInexact = key === "gradientWire" && !wireForms[flat.gradientWire].exact;
      return [`${lineOf(key, flat[key])}${isInexact ? ` # ${inexactNote}` : ""}`];
    });
    return `# ${group}\n${lines.join("\n")}\n`;
  });
  return `# All effective settings of this run: \`coordinator train FILE\` reads it.\n\n${blocks.join("\n")}`;
}
