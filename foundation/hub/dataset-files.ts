/**
 * Which files of a data set's repository make up which split: by the `configs` in its card where there are any, else by
 * the names of files and folders, as Hugging Face's datasets does.
 */
import picomatch from "picomatch";
import { parse } from "yaml";
import { z } from "zod";
import { BadInput } from "../bad-input.ts";
import type { HubFile } from "./hub-repository.ts";

/** Files by split; empty where the data set has none. */
export interface SplitFiles {
  readonly train: readonly HubFile[];
  readonly validation: readonly HubFile[];
  readonly test: readonly HubFile[];
  /** What the user should know of the choice. */
  readonly notes: readonly string[];
}

const patternsSchema = z
  .union([z.string(), z.array(z.string())])
  .transform((patterns) => (typeof patterns === "string" ? [patterns] : patterns));
const dataFilesSchema = z.union([
  z
    .array(z.object({ split: z.string(), path: patternsSchema }))
    .transform((entries) => entries.map(({ split, path }) => ({ split, patterns: path }))),
  patternsSchema.transform((patterns) => [{ split: "train", patterns }]),
  z
    .record(z.string(), patternsSchema)
    .transform((bySplit) =>
      Object.entries(bySplit).map(([split, patterns]) => ({ split, patterns })),
    ),
]);
const cardSchema = z.object({
  configs: z.array(
    z.object({
      config_name: z.string(),
      default: z.boolean().optional(),
      data_files: dataFilesSchema.optional(),
      data_dir: z.string().optional(),
    }),
  ),
});

/** A configuration of a data set, as its card describes it. */
export type DatasetConfig = z.infer<typeof cardSchema>["configs"][number];

/** The configurations in a README's front matter; none when it has no (readable) ones. */
export function configsOfCard(readme: string): readonly DatasetConfig[] {
  const frontMatter = /^\ufeff?---\r?\n([\s\S]*?)\r?\n---/.exec(readme)?.[1];
  if (frontMatter === undefined) return [];
  try {
    const parsed = cardSchema.safeParse(parse(frontMatter));
    return parsed.success ? parsed.data.configs : [];
  } catch {
    return [];
  }
}

/** The chosen configuration, or null when the card names none. Throws BadInput when the choice is unclear or wrong. */
export function chooseConfig(
  configs: readonly DatasetConfig[],
  wanted: string | null,
  id: string,
): DatasetConfig | null {
  if (configs.length === 0) return null;
  const chosen =
    wanted === null
      ? (configs.find((config) => config.default === true) ??
        configs.find(({ config_name }) => config_name === "default") ??
        (configs.length === 1 ? configs[0] : undefined))
      : configs.find(({ config_name }) => config_name === wanted);
  if (chosen !== undefined) return chosen;
  const names = configs.map(({ config_name }) => config_name).join(", ");
  throw new BadInput({
    flag: "--dataset",
    expected: `${id}:CONFIG with one of ${names}`,
    found: wanted ?? "no config",
  });
}

const dataPattern = /\.(parquet|((jsonl|ndjson|json|csv|tsv)(\.(gz|zst))?))$/i;
const splitNames = ["train", "validation", "test"] as const;
/** Words that name a split in paths, standing alone between separators. */
const splitWords = {
  train: /(^|[^a-z])(train|training)(?![a-z])/i,
  validation: /(^|[^a-z])(validation|valid|val|dev)(?![a-z])/i,
  test: /(^|[^a-z])(test|testing|eval|evaluation)(?![a-z])/i,
} as const;
const otherNames = { train: ["training"], validation: ["valid", "val", "dev"], test: ["testing"] };

function byPath(left: HubFile, right: HubFile): number {
  return left.path < right.path ? -1 : left.path > right.path ? 1 : 0;
}

/** Parquet where there is some: repositories often hold the same data in several forms. */
function dataFiles(files: readonly HubFile[]): readonly HubFile[] {
  const usable = files.filter(
    ({ path }) => dataPattern.test(path) && !/(^|\/)(\.|dataset_infos?\.json$)/.test(path),
  );
  const parquet = usable.filter(({ path }) => /\.parquet$/i.test(path));
  return (parquet.length > 0 ? parquet : usable).toSorted(byPath);
}

/** The split's own name, else one like `validation_matched`; null when there is none. */
function nameOfSplit(split: (typeof splitNames)[number], names: readonly string[]): string | null {
  const exact = [split, ...otherNames[split]].find((name) => names.includes(name));
  return exact ?? names.find((name) => name.startsWith(`${split}_`)) ?? null;
}

function splitsOfConfig(config: DatasetConfig, files: readonly HubFile[]): SplitFiles {
  const entries = config.data_files ?? [];
  const names = entries.map(({ split }) => split);
  const base = config.data_dir === undefined ? "" : `${config.data_dir.replace(/\/+$/, "")}/`;
  const notes: string[] = [];
  const filesOf = (split: (typeof splitNames)[number]): readonly HubFile[] => {
    const name = nameOfSplit(split, names);
    if (name === null) return [];
    if (name !== split) notes.push(`the split ${name} is used for ${split}`);
    const matchers = entries
      .filter((entry) => entry.split === name)
      .flatMap(({ patterns }) => patterns.map((pattern) => picomatch(`${base}${pattern}`)));
    return files
      .filter(({ path }) => dataPattern.test(path) && matchers.some((matches) => matches(path)))
      .toSorted(byPath);
  };
  return {
    train: filesOf("train"),
    validation: filesOf("validation"),
    test: filesOf("test"),
    notes,
  };
}

/** By words in paths; files that no word names are all training data. */
function splitsByName(files: readonly HubFile[], config: string | null): SplitFiles {
  const data = dataFiles(files);
  const own =
    config === null
      ? data
      : data.filter(({ path }) => path.split("/").some((part) => part === config));
  const filesOf = (split: (typeof splitNames)[number]): readonly HubFile[] =>
    own.filter(({ path }) => splitNames.find((name) => splitWords[name].test(path)) === split);
  const [train, validation, test] = splitNames.map(filesOf);
  const isNamed = (train?.length ?? 0) > 0;
  return {
    train: isNamed ? (train ?? []) : own.filter(({ path }) => !isOfNamedSplit(path)),
    validation: validation ?? [],
    test: test ?? [],
    notes: [],
  };
}

function isOfNamedSplit(path: string): boolean {
  return splitNames.some((name) => splitWords[name].test(path));
}

/** The files of each split of a configuration; `wanted` is its name where no card describes it. */
export function chooseSplits(
  files: readonly HubFile[],
  config: DatasetConfig | null,
  wanted: string | null,
): SplitFiles {
  if (config?.data_files !== undefined) return splitsOfConfig(config, files);
  return splitsByName(files, config?.data_dir ?? wanted);
}
