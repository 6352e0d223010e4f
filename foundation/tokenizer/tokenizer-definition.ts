/**
 * The definition that the tokenizer is made from: `tokenizer.json` where the folder has one, else the equivalent made in
 * memory from `vocab.txt`, as transformers converts it. `tokenizer_config.json` has its say in both cases.
 */
import { z } from "zod";
import { BadInput } from "../bad-input.ts";
import { expectedBy } from "../model-files/expected-by.ts";
import {
  decodeUtf8,
  isJsonObject,
  parseJsonObject,
  type JsonObject,
} from "../model-files/json-object.ts";

/** What a tokenizer is made from. */
export interface TokenizerDefinition {
  /** File that it was read from, for messages. */
  readonly file: string;
  /** Content of a tokenizer.json. */
  readonly json: JsonObject;
  readonly settings: TokenizerSettings;
}

/** What `tokenizer_config.json` says that matters here. */
export type TokenizerSettings = z.infer<typeof settingsSchema>;

const specialToken = z
  .union([z.string(), z.object({ content: z.string() })])
  .transform((token) => (typeof token === "string" ? token : token.content));

const settingsSchema = z.object({
  tokenizer_class: z.string().nullish(),
  // Defaults as in transformers' BertTokenizerFast.
  do_lower_case: z.boolean().default(true),
  tokenize_chinese_chars: z.boolean().default(true),
  strip_accents: z.boolean().nullish(),
  do_basic_tokenize: z.boolean().default(true),
  unk_token: specialToken.nullish().transform((token) => token ?? "[UNK]"),
  sep_token: specialToken.nullish().transform((token) => token ?? "[SEP]"),
  pad_token: specialToken.nullish().transform((token) => token ?? "[PAD]"),
  cls_token: specialToken.nullish().transform((token) => token ?? "[CLS]"),
  mask_token: specialToken.nullish().transform((token) => token ?? "[MASK]"),
  truncation_side: z.enum(["right", "left"]).default("right"),
  padding_side: z
    .literal("right", { error: '"right" (absolute positions are counted from the left)' })
    .default("right"),
  model_input_names: z.array(z.string()).nullish(),
});

/** Classes whose normaliser follows tokenizer_config.json rather than tokenizer.json. */
const bertClasses = new Set(["BertTokenizer", "BertTokenizerFast"]);

/** Added tokens by their number; the largest real set has a few thousand. */
const addedTokensSchema = z.record(z.string(), z.number().int().min(0));

/** Where the files come from, for messages and defaults. */
export interface TokenizerSource {
  /** Folder as the user named it. */
  readonly folder: string;
  /** The config's `model_type`; it chooses the class where tokenizer_config.json names none. */
  readonly modelType: string;
}

/** Reads the definition from a folder's files. Throws BadInput naming the file. */
export function defineTokenizer(
  files: ReadonlyMap<string, Uint8Array>,
  source: TokenizerSource,
): TokenizerDefinition {
  const path = (name: string) => `${source.folder}/${name}`;
  const read = (name: string): JsonObject | null => {
    const bytes = files.get(name);
    return bytes === undefined ? null : parseJsonObject(decodeUtf8(bytes, path(name)), path(name));
  };
  const settings = parseSettings(
    read("tokenizer_config.json") ?? {},
    path("tokenizer_config.json"),
  );
  const json = read("tokenizer.json");
  if (json !== null) {
    const followsSettings = bertClasses.has(settings.tokenizer_class ?? "BertTokenizerFast");
    const followed = followsSettings ? withSettings(json, settings) : json;
    return { file: path("tokenizer.json"), json: followed, settings };
  }
  const vocabulary = files.get("vocab.txt");
  if (vocabulary === undefined) {
    const expected = "tokenizer.json or vocab.txt";
    throw new BadInput({ file: source.folder, expected, found: "neither" });
  }
  const file = path("vocab.txt");
  const added = addedTokensSchema.safeParse(read("added_tokens.json") ?? {});
  if (!added.success) {
    throw new BadInput({ file: path("added_tokens.json"), expected: "numbers by token" });
  }
  const ids = readVocabulary(decodeUtf8(vocabulary, file));
  return { file, json: wordPieceJson(ids, { settings, added: added.data, file }), settings };
}

function parseSettings(json: JsonObject, file: string): TokenizerSettings {
  const parsed = settingsSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const column = issue?.path.map(String).join(".") ?? "";
  throw new BadInput({
    file,
    column,
    expected: expectedBy(issue),
    found: JSON.stringify(json[column]) ?? "nothing",
  });
}

/** As BertTokenizerFast's constructor: case, accents and Chinese characters are as tokenizer_config.json has them. */
function withSettings(json: JsonObject, settings: TokenizerSettings): JsonObject {
  const normalizer = json["normalizer"];
  if (!isJsonObject(normalizer) || normalizer["type"] !== "BertNormalizer") return json;
  return { ...json, normalizer: { ...normalizer, ...normalizerOf(settings) } };
}

function normalizerOf(settings: TokenizerSettings): JsonObject {
  return {
    handle_chinese_chars: settings.tokenize_chinese_chars,
    strip_accents: settings.strip_accents ?? null,
    lowercase: settings.do_lower_case,
  };
}

/** Numbers by token, one token a line; the last line of a repeated token counts, as in transformers. */
function readVocabulary(text: string): ReadonlyMap<string, number> {
  const lines = text.replaceAll(/\r\n?/g, "\n").split("\n");
  if (lines.at(-1) === "") lines.pop();
  return new Map(lines.map((token, id) => [token, id]));
}

interface WordPieceParts {
  readonly settings: TokenizerSettings;
  readonly added: Readonly<Record<string, number>>;
  readonly file: string;
}

/** The tokenizer.json that transformers' BertConverter makes of a vocabulary. */
function wordPieceJson(ids: ReadonlyMap<string, number>, parts: WordPieceParts): JsonObject {
  const { settings, added, file } = parts;
  const idOf = (token: string): number => {
    const id = ids.get(token);
    if (id === undefined) throw new BadInput({ file, expected: `a line ${token}`, found: "none" });
    return id;
  };
  const names = new Set([
    settings.pad_token,
    settings.unk_token,
    settings.cls_token,
    settings.sep_token,
    settings.mask_token,
  ]);
  const token = (content: string, id: number, special: boolean) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: !special,
    special,
  });
  const specials = [...names].map((name) => token(name, idOf(name), true));
  const others = Object.entries(added)
    .filter(([name]) => !names.has(name))
    .map(([name, id]) => token(name, id, false));
  const basic = settings.do_basic_tokenize
    ? normalizerOf(settings)
    : { handle_chinese_chars: false, strip_accents: false, lowercase: false };
  return {
    version: "1.0",
    added_tokens: [...specials, ...others].toSorted((a, b) => a.id - b.id),
    normalizer: { type: "BertNormalizer", clean_text: true, ...basic },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "BertProcessing",
      sep: [settings.sep_token, idOf(settings.sep_token)],
      cls: [settings.cls_token, idOf(settings.cls_token)],
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: settings.unk_token,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(ids),
    },
  };
}
