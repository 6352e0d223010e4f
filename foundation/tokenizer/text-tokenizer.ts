/**
 * Text to token numbers, equal to transformers' fast tokenizer of the same folder. `@huggingface/tokenizers` splits and
 * looks up; truncation (`longest_first`) and the frame of special tokens are ours.
 */
import { Tokenizer } from "@huggingface/tokenizers";
import { BadInput } from "../bad-input.ts";
import type { JsonObject } from "../model-files/json-object.ts";
import { bertNormalizer } from "./bert-normalizer.ts";
import { parseTemplate, type TemplatePiece } from "./template.ts";
import { defineTokenizer, type TokenizerSource } from "./tokenizer-definition.ts";
import { keptOfPair } from "./truncation.ts";

/** A text or a pair as the model reads it, without padding. */
export interface Encoding {
  readonly ids: readonly number[];
  /** Which text a token belongs to, as the model numbers it. */
  readonly typeIds: readonly number[];
  /** Whether tokens were cut off. */
  readonly truncated: boolean;
}

/** A tokenizer. Not shared between threads; makes no state but caches. */
export interface TextTokenizer {
  /** Numbers that the tokenizer gives: the largest and one. */
  readonly size: number;
  /** Number of the padding token. */
  readonly padId: number;
  /**
   * Encodes a text, or a pair.
   * @param maxLength tokens, special ones included
   */
  encode(text: string, textPair: string | undefined, maxLength: number): Encoding;
}

/** Makes the tokenizer of a folder's files. Throws BadInput naming the file. */
export function openTextTokenizer(
  files: ReadonlyMap<string, Uint8Array>,
  source: TokenizerSource,
): TextTokenizer {
  const { file, json, settings } = defineTokenizer(files, source);
  const template = parseTemplate(json["post_processor"], file);
  const tokenizer = construct(json, file);
  const usesTypes = settings.model_input_names?.includes("token_type_ids") ?? true;
  const tokenIds = [...tokenizer.get_vocab().values()];
  const padId = tokenizer.token_to_id(settings.pad_token);
  if (padId === undefined) {
    throw new BadInput({ file, expected: `a token ${settings.pad_token}`, found: "none" });
  }
  const keep = (ids: readonly number[], count: number) =>
    settings.truncation_side === "right" ? ids.slice(0, count) : ids.slice(ids.length - count);
  const tokens = (text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids;
  return {
    size: tokenIds.reduce((largest, id) => Math.max(largest, id), -1) + 1,
    padId,
    encode: (text, textPair, maxLength) => {
      const pieces = textPair === undefined ? template.single : template.pair;
      const first = tokens(text);
      const second = textPair === undefined ? [] : tokens(textPair);
      const room = Math.max(0, maxLength - pieces.filter(({ kind }) => kind === "token").length);
      const kept =
        textPair === undefined
          ? { first: Math.min(first.length, room), second: 0 }
          : keptOfPair(first.length, second.length, room);
      const framed = frame(pieces, [keep(first, kept.first), keep(second, kept.second)]);
      const truncated = kept.first + kept.second < first.length + second.length;
      return {
        ...framed,
        typeIds: usesTypes ? framed.typeIds : framed.ids.map(() => 0),
        truncated,
      };
    },
  };
}

/** What is used of the library's Tokenizer, whose own declarations do not resolve from an ES module. */
interface LibraryTokenizer {
  normalizer: ((text: string) => string) | null;
  encode(text: string, options: { add_special_tokens: boolean }): { readonly ids: number[] };
  get_vocab(): ReadonlyMap<string, number>;
  token_to_id(token: string): number | undefined;
}

function construct(json: JsonObject, file: string): LibraryTokenizer {
  try {
    const tokenizer: LibraryTokenizer = new Tokenizer(json, {});
    tokenizer.normalizer = bertNormalizer(json["normalizer"]) ?? tokenizer.normalizer;
    return tokenizer;
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new BadInput({ file, expected: "a tokenizer", found });
  }
}

function frame(
  pieces: readonly TemplatePiece[],
  texts: readonly [readonly number[], readonly number[]],
): { ids: number[]; typeIds: number[] } {
  const ids: number[] = [];
  const typeIds: number[] = [];
  for (const piece of pieces) {
    const added = piece.kind === "token" ? [piece.id] : texts[piece.text];
    for (const id of added) {
      ids.push(id);
      typeIds.push(piece.typeId);
    }
  }
  return { ids, typeIds };
}
