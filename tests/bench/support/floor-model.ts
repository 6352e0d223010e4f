/** A model folder as the floor sees it: its shape, and how many tokens it reads of a text. */
import { parseBertConfig } from "../../../foundation/families/bert-config.ts";
import { loadModel } from "../../../foundation/model-files/load-model.ts";
import { openTextTokenizer } from "../../../foundation/tokenizer/text-tokenizer.ts";
import type { BertShape } from "./random-bert.ts";

/** A text, or a pair. */
export type FloorText = readonly [text: string, textPair?: string];

/** What is known of it. */
export interface FloorModel {
  readonly shape: BertShape;
  /** Tokens of each text, special ones included, padding not. @param maxLength of them; default what the model can read */
  readonly tokensOf: (texts: readonly FloorText[], maxLength?: number) => readonly number[];
}

/** Opens a BERT's folder. Throws BadInput as `loadModel` does. */
export async function openFloorModel(folder: string): Promise<FloorModel> {
  const options = { labels: null, problemType: null, seed: 0, requireHead: false };
  const { configJson, tokenizerFiles } = await loadModel(folder, options);
  const config = parseBertConfig(JSON.parse(configJson));
  const tokenizer = openTextTokenizer(tokenizerFiles, { folder, modelType: "bert" });
  return {
    shape: {
      layers: config.layerCount,
      hidden: config.hiddenSize,
      heads: config.headCount,
      intermediate: config.intermediateSize,
      vocabulary: config.vocabSize,
      positions: config.maxPositions,
    },
    tokensOf: (texts, maxLength = config.maxPositions) =>
      texts.map(([text, textPair]) => tokenizer.encode(text, textPair, maxLength).ids.length),
  };
}

/** A batch of as many rows of the mean length: whose products' rate stands for all batches. */
export function meanBatch(
  lengths: readonly number[],
  rows: number,
): { readonly rows: number; readonly tokens: number } {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return { rows, tokens: Math.max(1, Math.round(tokens / lengths.length)) };
}
