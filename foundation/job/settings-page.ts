/** The parts of the users' guides that are made from the tables: all settings, and all fields of TrainingArguments. */
import { environmentName, infoOf, kebabCase, settingGroups } from "./setting.ts";
import { settingKeys, settingsSchema, type SettingKey } from "./settings-schema.ts";
import type { TrainerField } from "./trainer-field.ts";
import { trainerFields } from "./trainer-fields.ts";

function cell(text: string): string {
  return text.replaceAll("|", String.raw`\|`).replaceAll("<", "&lt;");
}

/** The default in words; empty where there is none. */
export function defaultTextOf(key: SettingKey): string {
  const info = infoOf(settingsSchema.shape[key]);
  if (info.defaultText !== undefined) return info.defaultText;
  const value: unknown = settingsSchema.shape[key].parse(undefined);
  if (value === null || (Array.isArray(value) && value.length === 0)) return "";
  if (typeof value === "object") return "";
  // 5e-5 rather than 0.00005.
  if (typeof value === "number" && value > 0 && value < 1e-3) return value.toExponential();
  return typeof value === "string" ? value : JSON.stringify(value);
}

function settingRow(key: SettingKey): string {
  const info = infoOf(settingsSchema.shape[key]);
  const aliases = (info.aliases ?? []).map((alias) => `, \`${alias}\``).join("");
  return `| \`${kebabCase(key)}\`${aliases} | ${cell(defaultTextOf(key))} | ${cell(info.help)} | ${cell(info.expected)} |`;
}

/** Every setting in a table per group, as Markdown. */
export function settingsTables(): string {
  return settingGroups
    .map((group) => {
      const keys = settingKeys.filter((key) => infoOf(settingsSchema.shape[key]).group === group);
      const rows = keys.map(settingRow).join("\n");
      return `### ${group}\n\n| key | default | meaning | value |\n|---|---|---|---|\n${rows}\n`;
    })
    .join("\n");
}

function fieldsOf(kind: TrainerField["treatment"]["kind"]): readonly TrainerField[] {
  return trainerFields.filter((field) => field.treatment.kind === kind);
}

function supportedRow({ name, treatment }: TrainerField): string {
  if (treatment.kind !== "supported") return "";
  const flag = kebabCase(treatment.key);
  const note = environmentName(treatment.key);
  return `| \`${name}\` | \`--${flag}\` | \`${note}\` | ${cell(defaultTextOf(treatment.key))} |`;
}

function translatedRow({ name, treatment }: TrainerField): string {
  if (treatment.kind !== "translated") return "";
  const values = Object.entries(treatment.values).map(([value, meant]) =>
    meant === null
      ? `\`${value}\`: nothing`
      : `\`${value}\`: \`--${kebabCase(meant[0])} ${meant[1]}\``,
  );
  return `| \`${name}\` | ${values.join("; ")} | ${cell(treatment.instead)} |`;
}

function ignoredRow({ name, treatment }: TrainerField): string {
  return treatment.kind === "ignored" ? `| \`${name}\` | ${cell(treatment.because)} |` : "";
}

function refusedRow({ name, treatment }: TrainerField): string {
  if (treatment.kind !== "refused") return "";
  const harmless = treatment.harmless
    .filter((value) => value !== "" && value.length < 40)
    .map((value) => `\`${value}\``)
    .join(", ");
  return `| \`${name}\` | ${cell(treatment.instead)} | ${cell(harmless)} |`;
}

function table(head: string, rows: readonly string[]): string {
  const line = head.replaceAll(/[^|]+/g, "---");
  return [head, line, ...rows].join("\n");
}

/** The whole of `docs/from-trainer.md`. */
export function fromTrainerPage(): string {
  return `# Coming from transformers' Trainer

Made from \`foundation/job/trainer-fields.ts\` by \`npm run docs\`; a test checks that it is current.

Every field of \`TrainingArguments\` in transformers 4.57 and 5.0 to 5.23 is known here by its name, on the command line
(\`--learning-rate\` or \`--learning_rate\`) and in a job file. A field is a setting, has no effect (and says so), or is
refused with the equivalent named. \`null\` always means "not given". So the arguments of a Trainer's script can be taken
over as a JSON file, and what does not carry over is said in one line. What differs by design:

- \`--train-batch-size\` is the global batch, whatever the number of workers; \`--per-device-train-batch-size\` is the
  microbatch. In a Trainer the global batch is the product of devices, batch per device and accumulation steps.
- \`--group-by-length\` is on.
- Evaluation and checkpoints follow each epoch; a Trainer saves every 500 steps and does not evaluate.

## Settings of the same meaning

${table("| field | flag | environment | default here |", fieldsOf("supported").map(supportedRow))}

## Said in another setting's words

${table("| field | values | or use |", fieldsOf("translated").map(translatedRow))}

## Refused, and what to use instead

${table("| field | instead | values that ask for nothing and are accepted |", fieldsOf("refused").map(refusedRow))}

## Accepted, without effect

${table("| field | why |", fieldsOf("ignored").map(ignoredRow))}
`;
}

const begin = "<!-- settings: made by `npm run docs` -->";
const end = "<!-- end of settings -->";

/** `docs/job-file.md` with its tables made anew. Throws Error when the page has lost the marks around them. */
export function jobFilePage(current: string): string {
  const from = current.indexOf(begin);
  const to = current.indexOf(end);
  if (from < 0 || to < from)
    throw new Error(`Cannot renew docs/job-file.md as it lacks ${begin} and ${end}`);
  return `${current.slice(0, from)}${begin}\n\n${settingsTables()}\n${current.slice(to)}`;
}
