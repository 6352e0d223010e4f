/** Which files of a model's repository are its own for us: config, safetensors weights, tokenizer. */
import { BadInput } from "../bad-input.ts";
import type { HubFile } from "./hub-repository.ts";

const plainNames = [
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
];
const weights = "model.safetensors";
const weightsIndex = "model.safetensors.index.json";
const shardPattern = /^model-\d+-of-\d+\.safetensors$/;

/** The files to fetch. Throws BadInput for a repository without config or safetensors weights. */
export function modelFiles(id: string, files: readonly HubFile[]): readonly HubFile[] {
  const paths = new Set(files.map(({ path }) => path));
  if (!paths.has("config.json")) {
    throw new BadInput({ flag: "--model", file: id, expected: "config.json", found: "none" });
  }
  const isWeights = (path: string): boolean =>
    paths.has(weights) ? path === weights : path === weightsIndex || shardPattern.test(path);
  const chosen = files.filter(({ path }) => plainNames.includes(path) || isWeights(path));
  if (chosen.some(({ path }) => path.endsWith(".safetensors"))) return chosen;
  const pickled = paths.has("pytorch_model.bin");
  throw new BadInput({
    flag: "--model",
    file: id,
    expected: weights,
    found: pickled ? "only pytorch_model.bin" : "none",
    ...(pickled
      ? { remedy: "convert it with transformers: save_pretrained writes safetensors" }
      : {}),
  });
}
