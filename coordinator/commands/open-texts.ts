/**
 * What is to be predicted, as records in their order: texts of the command line, a text a line from standard input, or
 * the rows of files.
 */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { BadInput } from "../../foundation/bad-input.ts";
import type { ColumnChoice } from "../data/columns.ts";
import { listDataFiles } from "../data/data-files.ts";
import { guessTokens, type DataRecord } from "../data/dataset.ts";
import { closeAll, createIndexedDataset } from "../data/indexed-dataset.ts";
import { openSplit } from "../data/open-split.ts";

/** Texts, open. */
export interface OpenedTexts {
  /** Records in order, a few at a time. */
  readonly records: AsyncIterable<readonly DataRecord[]>;
  /** About how many tokens they are; null where that is known in the end only. */
  readonly tokens: number | null;
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/** Records that are read at a time. */
const readRecords = 256;
const lineCharactersMax = 4 * 1024 * 1024;

async function* batched(texts: AsyncIterable<DataRecord>): AsyncGenerator<readonly DataRecord[]> {
  let batch: DataRecord[] = [];
  for await (const record of texts) {
    batch.push(record);
    if (batch.length < readRecords) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Texts of the command line. Throws BadInput for a second text beside several. */
export function givenTexts(texts: readonly string[], textPair: string | null): OpenedTexts {
  if (textPair !== null && texts.length !== 1) {
    throw new BadInput({
      flag: "--text-pair",
      expected: "one text beside it",
      found: `${texts.length}`,
      remedy: "more pairs come from a file, or from standard input with a tab between",
    });
  }
  const records = texts.map((text, index) => ({
    index,
    text,
    ...(textPair === null ? {} : { textPair }),
  }));
  async function* once(): AsyncGenerator<readonly DataRecord[]> {
    yield records;
  }
  return { records: once(), tokens: null, notes: [], close: async () => {} };
}

async function* linesOf(input: Readable, signal: AbortSignal): AsyncGenerator<DataRecord> {
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY, signal });
  let index = 0;
  for await (const line of lines) {
    if (line.length > lineCharactersMax) {
      throw new BadInput({
        file: "standard input",
        line: index + 1,
        expected: `at most ${lineCharactersMax} characters a line`,
        found: String(line.length),
      });
    }
    const [text = "", textPair, ...more] = line.split("\t");
    const isPair = textPair !== undefined && more.length === 0;
    yield { index, ...(isPair ? { text, textPair } : { text: line }) };
    index += 1;
  }
}

/** Standard input: a text a line, or two with one tab between. Read as far as predictions need it. */
export function streamedTexts(input: Readable, signal: AbortSignal): OpenedTexts {
  return {
    records: batched(linesOf(input, signal)),
    tokens: null,
    notes: [],
    close: async () => {},
  };
}

/** Files of any training format; labels in them are not looked at. Rejects with BadInput. */
export async function fileTexts(
  names: readonly string[],
  options: {
    readonly choice: ColumnChoice;
    readonly cacheFolder: string;
    readonly signal: AbortSignal;
  },
): Promise<OpenedTexts> {
  const { choice, cacheFolder, signal } = options;
  const files = await listDataFiles(names, "--file");
  const { files: opened, notes } = await openSplit(files, {
    choice,
    labels: "unused",
    plainText: true,
    cacheFolder,
    signal,
    accept: () => {},
  });
  const dataset = createIndexedDataset(opened, { scheme: null }, () => closeAll(opened));
  async function* records(): AsyncGenerator<readonly DataRecord[]> {
    for (let start = 0; start < dataset.size; start += readRecords) {
      const count = Math.min(readRecords, dataset.size - start);
      yield dataset.read(
        Array.from({ length: count }, (_, place) => start + place),
        signal,
      );
    }
  }
  return {
    records: records(),
    tokens: guessTokens(dataset),
    notes,
    close: () => dataset.close(),
  };
}
