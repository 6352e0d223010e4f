/** A temporary folder with data files, and data settings that name some of them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  openData,
  type OpenedData,
  type OpenDataOptions,
} from "../../../../coordinator/data/open-data.ts";
import type { DataRecord, Dataset } from "../../../../coordinator/data/dataset.ts";
import type { DataSettings } from "../../../../foundation/job/settings.ts";

export const never = new AbortController().signal;

/** Settings that name nothing, with the given ones put in. */
export function dataSettings(given: Partial<DataSettings>): DataSettings {
  return {
    dataset: null,
    trainFiles: [],
    validationFiles: [],
    testFiles: [],
    textColumn: null,
    textPairColumn: null,
    labelColumn: null,
    validationSplit: 0,
    ...given,
  };
}

/** Every record in order. */
export function readAll(dataset: Dataset): Promise<readonly DataRecord[]> {
  return dataset.read(
    Array.from({ length: dataset.size }, (_, index) => index),
    never,
  );
}

export class DataFolder {
  readonly path: string;
  private readonly opened: OpenedData[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<DataFolder> {
    return new DataFolder(await mkdtemp(join(tmpdir(), "ringmaster-data-")));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async write(name: string, content: string | Uint8Array): Promise<string> {
    await mkdir(dirname(this.file(name)), { recursive: true });
    await writeFile(this.file(name), content);
    return this.file(name);
  }

  async open(
    settings: Partial<DataSettings>,
    options: Partial<OpenDataOptions> = {},
  ): Promise<OpenedData> {
    const cacheFolder = this.file("cache");
    const opened = await openData(dataSettings(settings), {
      labels: null,
      cacheFolder,
      signal: never,
      hub: {
        env: {},
        cacheFolder,
        signal: never,
        progress: { begin: () => ({ advance: () => undefined, end: () => undefined }) },
      },
      ...options,
    });
    this.opened.push(opened);
    return opened;
  }

  /** Writes one training file, opens it, and reads everything. */
  async train(
    name: string,
    content: string | Uint8Array,
    options: Partial<OpenDataOptions> & { readonly settings?: Partial<DataSettings> } = {},
  ): Promise<{ readonly data: OpenedData; readonly records: readonly DataRecord[] }> {
    const trainFiles = [await this.write(name, content)];
    const { settings, ...rest } = options;
    const data = await this.open({ trainFiles, ...settings }, rest);
    return { data, records: data.train === null ? [] : await readAll(data.train) };
  }

  async remove(): Promise<void> {
    for (const { train, validation, test } of this.opened) {
      for (const dataset of [train, validation, test]) await dataset?.close();
    }
    await rm(this.path, { recursive: true, force: true });
  }
}
