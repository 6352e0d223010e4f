/** Models and data sets by their names on the Hugging Face hub, as local files. */
import { readFile, stat } from "node:fs/promises";
import { BadInput } from "../bad-input.ts";
import { chooseConfig, chooseSplits, configsOfCard, type SplitFiles } from "./dataset-files.ts";
import { parseDatasetName, type DatasetName } from "./dataset-name.ts";
import type { HubAccess } from "./hub-access.ts";
import { modelFiles } from "./hub-model.ts";
import type { RepositoryName } from "./hub-repository.ts";
import { openRepository, type Repository } from "./open-repository.ts";

/** Callers of this module need nothing else of the hub. */
export type { HubAccess };

const modelIdPattern = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/;
/** The branch in which the hub keeps its own conversion of every public data set to Parquet. */
const convertedRevision = "refs/convert/parquet";
const cardName = "README.md";

/**
 * The folder of a model: itself when it is a local folder, else the copy of the hub's that is fetched as far as the cache
 * lacks it (config, safetensors weights, tokenizer files).
 * @param revision branch, tag or commit; `main` by default of the job
 * Rejects with BadInput (unknown, private, without safetensors), SetupProblem (no network, damaged, disk full).
 */
export async function resolveModel(
  model: string,
  revision: string,
  access: HubAccess,
): Promise<string> {
  if ((await stat(model).catch(() => null))?.isDirectory()) return model;
  if (!modelIdPattern.test(model)) {
    throw new BadInput({
      flag: "--model",
      expected: "a local folder, or the name of a model on the hub",
      found: model,
    });
  }
  const repository = await openRepository({ kind: "models", id: model }, revision, access);
  sayNote(repository, access);
  await repository.fetch(modelFiles(model, repository.files));
  return repository.folder;
}

/** What the cache had to stand in for is said where downloads are told. */
function sayNote({ note, name }: Repository, access: HubAccess): void {
  if (note !== null) access.progress.begin({ label: name.id }).end(note);
}

/** A data set's local files by split; no files where it has no such split. */
export interface HubDataset {
  readonly train: readonly string[];
  readonly validation: readonly string[];
  readonly test: readonly string[];
  /** What the user should know of the choice. */
  readonly notes: readonly string[];
}

async function cardOf(repository: Repository): Promise<string> {
  const card = repository.files.find(({ path }) => path === cardName);
  if (card === undefined) return "";
  const [path = ""] = await repository.fetch([card]);
  return readFile(path, "utf8");
}

interface FoundSplits {
  readonly repository: Repository;
  readonly splits: SplitFiles;
}

async function findSplits(name: DatasetName, access: HubAccess): Promise<FoundSplits> {
  const repositoryName = { kind: "datasets", id: name.id } as const;
  const main = await openRepository(repositoryName, "main", access);
  sayNote(main, access);
  const config = chooseConfig(configsOfCard(await cardOf(main)), name.config, name.id);
  const splits = chooseSplits(main.files, config, name.config);
  if (splits.train.length > 0) return { repository: main, splits };
  const converted = await openConverted(repositoryName, access);
  if (converted === null) return { repository: main, splits };
  const folders = new Set(
    converted.files
      .filter(({ path }) => path.includes("/"))
      .map(({ path }) => path.split("/")[0] ?? ""),
  );
  const configs = [...folders].map((folder) => ({ config_name: folder }));
  const wanted = config?.config_name ?? name.config;
  const folder = chooseConfig(configs, wanted, name.id)?.config_name ?? wanted;
  return { repository: converted, splits: chooseSplits(converted.files, null, folder) };
}

/** null where the hub has converted nothing. */
async function openConverted(name: RepositoryName, access: HubAccess): Promise<Repository | null> {
  try {
    return await openRepository(name, convertedRevision, access);
  } catch (error) {
    if (error instanceof BadInput) return null;
    throw error;
  }
}

/**
 * The files of a data set, fetched as far as the cache lacks them.
 * @param dataset `owner/name`, `owner/name:config`, `owner/name/config`, or a known bare name such as `glue/mrpc`
 * Rejects with BadInput (unknown, private, unclear config, no files of a known format), SetupProblem.
 */
export async function resolveDataset(dataset: string, access: HubAccess): Promise<HubDataset> {
  const name = parseDatasetName(dataset);
  const { repository, splits } = await findSplits(name, access);
  if (splits.train.length === 0) {
    throw new BadInput({
      flag: "--dataset",
      file: name.id,
      expected: "files of training data (Parquet, JSON, CSV, TSV)",
      found: "none",
    });
  }
  return {
    train: await repository.fetch(splits.train),
    validation: await repository.fetch(splits.validation),
    test: await repository.fetch(splits.test),
    notes: splits.notes,
  };
}
