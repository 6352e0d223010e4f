/**
 * Writes the manifests of a run into a folder, with secrets of its own.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";
import type { KubernetesOptions } from "./kubernetes-options.ts";
import { manifestsFor, secretsFile } from "./manifests.ts";

/** What to write where. */
export interface WriteManifestsOptions {
  /** The job file; its text goes into the run's ConfigMap. The caller has checked that it is a job. */
  readonly jobFile: string;
  /** Made if absent; must be empty otherwise. */
  readonly folder: string;
  readonly kubernetes: KubernetesOptions;
  /** Makes a secret of letters and digits; random by default. */
  readonly newSecret?: () => string;
}

/** Random characters of a secret. */
const secretBytes = 32;

/** Begins with a letter, for nats-server takes a password of digits for a number. */
function randomSecret(): string {
  return `s${randomBytes(secretBytes).toString("hex")}`;
}

async function isEmpty(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new BadInput({
      flag: "--output-dir",
      file: folder,
      expected: "a folder",
      found: error.code ?? "",
    });
  });
  return names.length === 0;
}

/**
 * Writes the files and returns their paths. Throws BadInput for options that make no sense, a job file that cannot be read
 * and a folder that is not empty; then nothing is written.
 */
export async function writeKubernetesManifests(
  options: WriteManifestsOptions,
): Promise<readonly string[]> {
  const { folder, jobFile } = options;
  const newSecret = options.newSecret ?? randomSecret;
  const text = await readFile(jobFile, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new BadInput({
      file: jobFile,
      expected: "a job file",
      found: error.code ?? error.message,
    });
  });
  const files = manifestsFor(text, options.kubernetes);
  if (!(await isEmpty(folder))) {
    throw new BadInput({
      flag: "--output-dir",
      file: folder,
      expected: "an empty folder",
      found: "files",
    });
  }
  await mkdir(folder, { recursive: true });
  for (const file of files) await writeFile(join(folder, file.name), file.text);
  const secrets = `join-token=${newSecret()}\nnats-password=${newSecret()}\n`;
  await writeFile(join(folder, secretsFile), secrets, { mode: 0o600 });
  await writeFile(join(folder, ".gitignore"), `${secretsFile}\n`);
  return [...files.map(({ name }) => name), secretsFile].map((name) => join(folder, name));
}
