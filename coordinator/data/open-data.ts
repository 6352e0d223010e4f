/**
 * From a job's data settings to datasets: files found or fetched, every row checked, labels numbered, validation split
 * off. Nothing starts before this has succeeded.
 */
import { BadInput } from "../../foundation/bad-input.ts";
import type { HubAccess } from "../../foundation/hub/hub-access.ts";
import { resolveDataset } from "../../foundation/hub/hub.ts";
import type { DataSettings } from "../../foundation/job/settings.ts";
import { listDataFiles, type DataFile } from "./data-files.ts";
import type { Dataset } from "./dataset.ts";
import { closeAll, createIndexedDataset } from "./indexed-dataset.ts";
import { describeLabels, type LabelScheme, type ProblemType } from "./label-scheme.ts";
import { openKnown, openLearning, type LearntSplit } from "./labelled-split.ts";

/** The data of a job, open. */
export interface OpenedData {
  /** null when the job names no training files. */
  readonly train: Dataset | null;
  readonly validation: Dataset | null;
  readonly test: Dataset | null;
  /** Names by class number; null for a regression. */
  readonly labels: readonly string[] | null;
  readonly problemType: ProblemType;
  /** What the user should hear: guesses, costs, what is skipped. */
  readonly notes: readonly string[];
}

/** What opening needs beside the settings. */
export interface OpenDataOptions {
  /**
   * The labels of a model that keeps its classification head, by class number; null lets the data decide. One label means a
   * regression. Placeholders (`LABEL_0`, …) are filled with the names in the training data.
   */
  readonly labels: readonly string[] | null;
  /** Where unpacked content goes. */
  readonly cacheFolder: string;
  /** For hub datasets. */
  readonly hub: HubAccess;
  readonly signal: AbortSignal;
}

const splitNames = ["train", "validation", "test"] as const;
type SplitName = (typeof splitNames)[number];
type FilesOfSplits = Readonly<Record<SplitName, readonly DataFile[]>>;

interface FoundFiles {
  readonly files: FilesOfSplits;
  readonly notes: readonly string[];
}

async function findFiles(settings: DataSettings, hub: HubAccess): Promise<FoundFiles> {
  const { trainFiles, validationFiles, testFiles, dataset } = settings;
  const own = { train: trainFiles, validation: validationFiles, test: testFiles };
  const onHub = dataset === null ? null : await resolveDataset(dataset, hub);
  const list = (split: SplitName): Promise<readonly DataFile[]> =>
    listDataFiles(own[split].length > 0 ? own[split] : (onHub?.[split] ?? []), `--${split}-file`);
  const files = {
    train: await list("train"),
    validation: await list("validation"),
    test: await list("test"),
  };
  if (splitNames.every((split) => files[split].length === 0)) {
    throw new BadInput({ flag: "--train-file", expected: "files of data, or --dataset" });
  }
  return { files, notes: onHub?.notes ?? [] };
}

function checkHoldOut(settings: DataSettings, files: FilesOfSplits): void {
  if (settings.validationSplit === 0) return;
  const flag = "--validation-split";
  if (files.train.length === 0) {
    throw new BadInput({ flag, expected: "training files to split from", found: "none" });
  }
  if (files.validation.length > 0) {
    throw new BadInput({ flag, expected: "no validation data beside it", found: "some" });
  }
}

interface Parts {
  readonly first: Dataset;
  readonly heldOut: Dataset | null;
}

/** The datasets over the split that labels were learnt from; files stay open until the last of two parts is closed. */
function partsOf({ files, scheme, holdOut }: LearntSplit, share: number): Parts {
  if (holdOut === null) {
    const first = createIndexedDataset(files, { scheme }, () => closeAll(files));
    return { first, heldOut: null };
  }
  const { keptCount, heldCount } = holdOut;
  if (keptCount === 0 || heldCount === 0) {
    throw new BadInput({
      flag: "--validation-split",
      expected: "a share that leaves records on both sides",
      found: `${share}, which holds out ${heldCount} of ${keptCount + heldCount}`,
    });
  }
  let openParts = 2;
  const close = async (): Promise<void> => {
    openParts -= 1;
    if (openParts === 0) await closeAll(files);
  };
  const kept = { size: keptCount, recordAt: (index: number) => holdOut.kept(index) };
  const held = { size: heldCount, recordAt: (index: number) => holdOut.held(index) };
  return {
    first: createIndexedDataset(files, { scheme, part: kept }, close),
    heldOut: createIndexedDataset(files, { scheme, part: held }, close),
  };
}

function dataNotes(files: FilesOfSplits, settings: DataSettings, scheme: LabelScheme): string[] {
  const packed = splitNames
    .flatMap((split) => files[split])
    .filter(({ format, compression }) => compression !== "none" || format === "parquet");
  const noValidation =
    files.train.length > 0 && files.validation.length === 0 && settings.validationSplit === 0;
  return [
    scheme.labels === null
      ? "labels are numbers with fractions: a regression"
      : `${scheme.labels.length} labels: ${describeLabels(scheme.labels)}`,
    ...(packed.length === 0
      ? []
      : [`${packed.length} packed files are unpacked on the disk of the cache folder for the run`]),
    ...(noValidation
      ? ["no validation data: evaluation is skipped; --validation-split 0.1 holds out a tenth"]
      : []),
  ];
}

/**
 * Opens and checks all data of a job. Rejects with BadInput (file, line, column, expected, found) at the first thing that
 * is wrong, with the hub's errors for hub datasets, with the signal's reason; nothing stays open then.
 */
export async function openData(
  settings: DataSettings,
  options: OpenDataOptions,
): Promise<OpenedData> {
  const found = await findFiles(settings, options.hub);
  const { files } = found;
  checkHoldOut(settings, files);
  const { cacheFolder, signal } = options;
  const shared = { choice: settings, cacheFolder, signal };
  const firstSplit = splitNames.find((split) => files[split].length > 0) ?? "train";
  const learnt = await openLearning(files[firstSplit], {
    ...shared,
    modelLabels: options.labels,
    training: firstSplit === "train",
    holdOutShare: settings.validationSplit,
  });
  const { scheme } = learnt;
  const notes = [...found.notes, ...learnt.notes];
  const opened: Partial<Record<SplitName, Dataset>> = {};
  const openFiles = [...learnt.files];
  try {
    const parts = partsOf(learnt, settings.validationSplit);
    opened[firstSplit] = parts.first;
    if (parts.heldOut !== null) opened.validation = parts.heldOut;
    for (const split of splitNames) {
      if (split === firstSplit || files[split].length === 0) continue;
      const labels = split === "test" ? "optional" : "required";
      const known = await openKnown(files[split], scheme, { ...shared, labels });
      openFiles.push(...known.files);
      const view = { scheme: known.labelled ? scheme : null };
      opened[split] = createIndexedDataset(known.files, view, () => closeAll(known.files));
      if (!known.labelled) notes.push("the test data has no labels: it can only be predicted on");
      notes.push(...known.notes);
    }
  } catch (error) {
    await closeAll(openFiles);
    throw error;
  }
  const { train = null, validation = null, test = null } = opened;
  return {
    train,
    validation,
    test,
    labels: scheme.labels,
    problemType: scheme.problemType,
    notes: [...new Set([...notes, ...dataNotes(files, settings, scheme)])],
  };
}
