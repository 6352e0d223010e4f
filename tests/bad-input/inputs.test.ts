/** Wrong data, wrong models, and both against each other, as the program itself answers them. */
import { appendFile, mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before } from "node:test";
import {
  tinyConfig,
  tinyVocabulary,
  writeTinyBert,
  type ConfigChanges,
} from "../support/tiny-bert.ts";
import { parquetFile } from "../coordinator/data/support/packings.ts";
import { checkRows, type BadInputRow } from "./check-rows.ts";

const goodRows = "text\tlabel\nham and eggs\tgood\nspam\tbad\n";

/** What a row's folder holds beside the model: data files by name. */
type Files = Readonly<Record<string, string | Uint8Array>>;

async function writeFiles(folder: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
}

/** A row about data: a good model, and these files. */
function dataRow(
  name: string,
  files: Files,
  says: BadInputRow["says"],
  args: string[] = [],
): BadInputRow {
  const [first = ""] = Object.keys(files);
  return {
    name,
    args: ["--model", "model", "--train-file", first, ...args],
    prepare: async (folder) => {
      await writeTinyBert(join(folder, "model"));
      await writeFiles(folder, files);
    },
    says,
  };
}

checkRows("data", [
  dataRow("an empty file", { "train.tsv": "" }, ["train.tsv"]),
  dataRow("a file with a head only", { "train.tsv": "text\tlabel\n" }, ["train.tsv"]),
  dataRow(
    "a missing column",
    { "train.tsv": goodRows },
    ["train.tsv", "sentence"],
    ["--text-column", "sentence"],
  ),
  dataRow("a label that is NaN", { "train.tsv": `${goodRows}egg\tNaN\n` }, [
    "train.tsv, line 4",
    "NaN",
  ]),
  dataRow("a label that is missing", { "train.tsv": `${goodRows}egg\t\n` }, ["train.tsv, line 4"]),
  dataRow(
    "a label that training does not have",
    { "train.tsv": goodRows, "dev.tsv": "text\tlabel\negg\tugly\n" },
    ["dev.tsv, line 2", "ugly"],
    ["--validation-file", "dev.tsv"],
  ),
  dataRow(
    "broken UTF-8",
    {
      "train.tsv": Buffer.concat([
        Buffer.from(goodRows),
        Buffer.from([0xff, 0xfe, 0x09, 0x61, 0x0a]),
      ]),
    },
    ["train.tsv, line 4", "UTF-8"],
  ),
  dataRow("a ragged row", { "train.tsv": `${goodRows}only text\n` }, ["train.tsv, line 4"]),
  dataRow("a ragged CSV row", { "train.csv": "text,label\na,good\nb,bad,more\n" }, [
    "train.csv, line 3",
  ]),
  dataRow("broken JSON lines", { "train.jsonl": '{"text": "a", "label": 1}\n{"text": \n' }, [
    "train.jsonl, line 2",
  ]),
  dataRow(
    "a __proto__ key in a record",
    { "train.jsonl": '{"text": "a", "label": 1}\n{"text": "b", "label": 0, "__proto__": {}}\n' },
    ["train.jsonl, line 2", "__proto__"],
  ),
  dataRow("no Parquet file", { "train.parquet": "PAR1 and then nothing" }, ["train.parquet"]),
  dataRow("a truncated Parquet file", { "train.parquet": parquetFile("SNAPPY").subarray(0, -30) }, [
    "train.parquet: expected a whole Parquet file",
  ]),
  dataRow("a truncated gzip file", { "train.tsv.gz": Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0) }, [
    "train.tsv.gz",
  ]),
  {
    name: "a file that is not there",
    args: ["--model", "model", "--train-file", "nowhere.tsv"],
    prepare: (folder) => writeTinyBert(join(folder, "model")),
    says: ["--train-file, nowhere.tsv"],
  },
  dataRow(
    "a sequence longer than the position table",
    { "train.tsv": goodRows },
    ["--max-length: expected at most 32", "found 64"],
    ["--max-length", "64"],
  ),
  dataRow(
    "lengths that end before the longest sequence",
    { "train.tsv": goodRows },
    ["--bucket-lengths: expected lengths up to 32, the longest", "found 8 16"],
    ["--bucket-lengths", "8", "16"],
  ),
  dataRow(
    "a split that holds out nothing",
    { "train.tsv": goodRows },
    ["--validation-split: expected a share that leaves records on both sides"],
    ["--validation-split", "0.000001"],
  ),
  dataRow(
    "a pattern that freezes nothing",
    { "train.tsv": goodRows },
    ["--freeze", "found embedings (did you mean embeddings"],
    ["--freeze", "embedings"],
  ),
  dataRow(
    "a metric that is not computed",
    { "train.tsv": goodRows, "dev.tsv": goodRows },
    ["--metric-for-best-model: expected one of loss, accuracy", "found bleu"],
    ["--validation-file", "dev.tsv", "--metric-for-best-model", "bleu"],
  ),
  dataRow(
    "early stopping without anything to evaluate on",
    { "train.tsv": goodRows },
    ["--early-stopping-patience: expected data to evaluate on", "--validation-split 0.1"],
    ["--early-stopping-patience", "2"],
  ),
]);

/** A row about the model: good data, and a model that `change` has broken. */
function modelRow(
  name: string,
  says: BadInputRow["says"],
  change: (model: string) => Promise<unknown>,
  config: ConfigChanges = {},
): BadInputRow {
  return {
    name,
    args: ["--model", "model", "--train-file", "train.tsv"],
    prepare: async (folder) => {
      const model = join(folder, "model");
      await writeTinyBert(model, config);
      await writeFiles(folder, { "train.tsv": goodRows });
      await change(model);
    },
    says,
  };
}

/** Rewrites the header of model.safetensors. */
async function changeHeader(model: string, change: (header: string) => string): Promise<void> {
  const file = join(model, "model.safetensors");
  const bytes = await readFile(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = Buffer.from(change(bytes.subarray(8, 8 + length).toString("utf8")));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  await writeFile(file, Buffer.concat([size, header, bytes.subarray(8 + length)]));
}

const threeLabels = { id2label: { 0: "a", 1: "b", 2: "c" }, label2id: { a: 0, b: 1, c: 2 } };
const twoLabels = { id2label: { 0: "bad", 1: "good" }, label2id: { bad: 0, good: 1 } };

checkRows("models", [
  {
    name: "a model that is not there",
    args: ["--model", "./nowhere", "--train-file", "train.tsv"],
    prepare: (folder) => writeFiles(folder, { "train.tsv": goodRows }),
    says: ["nowhere"],
  },
  modelRow("an unknown model_type", ["config.json", "model_type", "gpt5"], (model) =>
    writeFile(join(model, "config.json"), tinyConfig({ model_type: "gpt5" })),
  ),
  modelRow("a __proto__ key in the config", ["config.json", "__proto__"], (model) =>
    writeFile(join(model, "config.json"), '{"model_type": "bert", "__proto__": {"a": 1}}'),
  ),
  modelRow("a config that is no JSON", ["config.json"], (model) =>
    writeFile(join(model, "config.json"), "{"),
  ),
  modelRow("truncated weights", ["model.safetensors"], (model) =>
    truncate(join(model, "model.safetensors"), 2000),
  ),
  modelRow("weights with more behind them", ["model.safetensors"], (model) =>
    appendFile(join(model, "model.safetensors"), "more"),
  ),
  modelRow("an absurd header", ["model.safetensors"], (model) =>
    writeFile(join(model, "model.safetensors"), Buffer.alloc(64, 0xff)),
  ),
  modelRow("weights of another type", ["model.safetensors", "I64"], (model) =>
    changeHeader(model, (header) => header.replace('"F32"', '"I64"')),
  ),
  modelRow("overlapping weights", ["model.safetensors"], (model) =>
    changeHeader(model, (header) =>
      header.replace(/"data_offsets":\[\d+,(\d+)\]/g, '"data_offsets":[0,$1]'),
    ),
  ),
  modelRow(
    "a tokenizer of another size",
    ["expected a tokenizer of", String(tinyVocabulary.length)],
    (model) => writeFile(join(model, "vocab.txt"), `${tinyVocabulary.slice(0, 40).join("\n")}\n`),
  ),
  modelRow("three labels for a model of two", ["train.tsv", "2"], (model) =>
    writeFile(join(model, "..", "train.tsv"), `${goodRows}egg\tugly\n`),
  ),
  modelRow("labels that the model does not have", ["train.tsv"], async () => {}, threeLabels),
  modelRow(
    "a label that the model does not have",
    ["train.tsv, line 4", "ugly"],
    (model) => writeFile(join(model, "..", "train.tsv"), `${goodRows}egg\tugly\n`),
    twoLabels,
  ),
]);

const taken = createServer();
before(async () => {
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
});
after(() => {
  taken.close();
});

function takenAddress(): string {
  const { port } = taken.address() as AddressInfo;
  return `127.0.0.1:${port}`;
}

checkRows("ports", [
  {
    name: "a port that is taken, for workers",
    get args() {
      return ["--model", "model", "--train-file", "train.tsv", "--listen", takenAddress()];
    },
    prepare: (folder) => mkdir(join(folder, "model")),
    says: ["--listen: expected an address that is free", "is taken"],
  },
  {
    name: "a port that is taken, for metrics",
    get args() {
      return ["--model", "model", "--train-file", "train.tsv", "--metrics-listen", takenAddress()];
    },
    says: ["--metrics-listen: expected an address that is free", "is taken"],
  },
]);

/** A row about a command that asks a model: a fine-tuned model, and these files. */
function queryRow(
  name: string,
  args: readonly string[],
  says: BadInputRow["says"],
  files: Files = {},
): BadInputRow {
  return {
    name,
    args: [...args, "--model", "model"],
    prepare: async (folder) => {
      await writeTinyBert(join(folder, "model"), twoLabels);
      await writeFiles(folder, files);
    },
    says,
  };
}

checkRows("predict and eval", [
  queryRow(
    "texts and files",
    ["predict", "a", "--file", "x.tsv"],
    ["--file: expected texts or files"],
  ),
  queryRow(
    "a second text beside several",
    ["predict", "a", "b", "--text-pair", "c"],
    ["--text-pair"],
  ),
  queryRow("a file that is not there", ["predict", "--file", "x.tsv"], ["--file, x.tsv"]),
  queryRow("a batch of none", ["predict", "a", "--batch-size", "0"], ["--batch-size"]),
  queryRow(
    "too long a sequence",
    ["predict", "a", "--max-length", "64"],
    ["at most 32", "found 64"],
  ),
  queryRow("no labelled data", ["eval"], ["labelled files, or --dataset"]),
  queryRow("a split that there is not", ["eval", "x.tsv", "--split", "dev"], ["--split"]),
  queryRow("a label that the model does not have", ["eval", "x.tsv"], ["x.tsv, line 3", "ugly"], {
    "x.tsv": "text\tlabel\na\tgood\nb\tugly\n",
  }),
  {
    name: "a model without a trained head",
    args: ["predict", "a", "--model", "quickstart"],
    says: ["--model: expected a fine-tuned model"],
  },
]);
