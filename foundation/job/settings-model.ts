/** Settings of the model and of the data that it is fine-tuned on. */
import { z } from "zod";
import { setting } from "./setting.ts";

const text = z.string().min(1).max(4096);
const files = () => z.array(text).max(10_000).default([]);
const column = () => text.nullable().default(null);

/** Which model, and what of it trains. */
export const modelSettings = {
  model: setting(text.nullable().default(null), {
    group: "Model",
    form: "text",
    placeholder: "folder|id",
    help: "folder with config.json and model.safetensors, or hub id; `quickstart` is MiniLM-L6",
    expected: "a folder or a hub id such as bert-base-uncased",
    onResume: "said",
    aliases: ["model-name-or-path"],
  }),
  modelRevision: setting(text.default("main"), {
    group: "Model",
    form: "text",
    placeholder: "revision",
    help: "branch, tag or commit of a hub model",
    expected: "a branch, tag or commit",
    onResume: "fixed",
  }),
  freeze: setting(z.array(text).max(10_000).default([]), {
    group: "Model",
    form: "list",
    placeholder: "pattern...",
    help: "parameters that keep their bits: names with `*`, or parts such as `embeddings`, `encoder.layer.0-3`",
    expected: "patterns of parameter names",
    onResume: "fixed",
  }),
} as const;

/** Where the records come from and which columns mean what. */
export const dataSettings = {
  dataset: setting(text.nullable().default(null), {
    group: "Data",
    form: "text",
    placeholder: "id",
    help: "hub dataset such as `glue/mrpc`; `quickstart` is SpamAssassin's e-mails",
    expected: "a dataset such as glue/mrpc",
    onResume: "said",
    aliases: ["dataset-name"],
  }),
  trainFile: setting(files(), {
    group: "Data",
    form: "list",
    placeholder: "path...",
    help: "TSV, CSV, JSONL, JSON or Parquet files, folders or globs, plain, .gz or .zst",
    expected: "files, folders or globs",
    onResume: "said",
  }),
  validationFile: setting(files(), {
    group: "Data",
    form: "list",
    placeholder: "path...",
    help: "files to evaluate on",
    expected: "files, folders or globs",
    onResume: "said",
  }),
  testFile: setting(files(), {
    group: "Data",
    form: "list",
    placeholder: "path...",
    help: "files for `coordinator eval` and a last evaluation",
    expected: "files, folders or globs",
    onResume: "said",
  }),
  validationSplit: setting(z.number().min(0).lt(1).default(0), {
    group: "Data",
    form: "number",
    placeholder: "share",
    help: "share of the training data held out by a stable hash, when there is no validation file",
    expected: "a share from 0 to below 1",
    onResume: "fixed",
  }),
  textColumn: setting(column(), {
    group: "Data",
    form: "text",
    placeholder: "name",
    help: "column of the text",
    expected: "a column name",
    onResume: "fixed",
    defaultText: "guessed, and said",
  }),
  textPairColumn: setting(column(), {
    group: "Data",
    form: "text",
    placeholder: "name",
    help: "column of the second text of a pair",
    expected: "a column name",
    onResume: "fixed",
    defaultText: "guessed, and said",
  }),
  labelColumn: setting(column(), {
    group: "Data",
    form: "text",
    placeholder: "name",
    help: "column of the label",
    expected: "a column name",
    onResume: "fixed",
    defaultText: "guessed, and said",
  }),
} as const;
