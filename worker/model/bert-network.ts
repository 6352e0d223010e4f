/**
 * The forward pass of BertForSequenceClassification, tokens to logits. Dropout sits where transformers has it; gradients
 * come from the tape and from the blocks' own. The last layer is computed for the [CLS] row only.
 */
import * as tf from "@tensorflow/tfjs";
import type { BertConfig } from "../../foundation/families/bert-config.ts";
import { activationOf } from "./activations.ts";
import {
  attend,
  attendFirstRow,
  maskBias,
  type AttentionMasks,
  type AttentionShape,
} from "./attention.ts";
import { dense, embed, layerNorm, type LayerWeights } from "./layers.ts";
import { placesInput } from "./looked-up.ts";
import type { PhaseContext } from "./model.ts";

/** The table that `input_ids` look up. */
export const wordEmbeddings = "bert.embeddings.word_embeddings.weight";

/** Logits of all rows, [batch, labels]. */
export function bertLogits(config: BertConfig, context: PhaseContext): tf.Tensor2D {
  const network = new BertNetwork(config, context);
  return network.logits();
}

/** The input of one name. Throws RangeError where the batch lacks it. */
export function inputOf(context: PhaseContext, name: string): tf.Tensor {
  const tensor = context.inputs[name];
  if (tensor === undefined) throw new RangeError(`Cannot run BERT as an input is missing: ${name}`);
  return tensor;
}

class BertNetwork {
  readonly #config: BertConfig;
  readonly #context: PhaseContext;
  readonly #shape: AttentionShape;
  readonly #maskBias: tf.Tensor4D;

  constructor(config: BertConfig, context: PhaseContext) {
    this.#config = config;
    this.#context = context;
    const mask = inputOf(context, "attention_mask");
    const [batch = 0, length = 0] = mask.shape;
    const heads = config.headCount;
    this.#shape = { batch, length, heads, headSize: config.hiddenSize / heads };
    this.#maskBias = maskBias(mask);
  }

  logits(): tf.Tensor2D {
    const { layerCount, classifierDropout } = this.#config;
    let rows = this.#embeddings();
    for (let layer = 0; layer < layerCount - 1; layer += 1) rows = this.#layer(layer, rows);
    const first = this.#firstRowLayer(layerCount - 1, rows);
    const pooled = tf.tanh(dense(first, this.#weights("bert.pooler.dense")));
    const dropped = this.#dropout("classifier", pooled, classifierDropout);
    return dense(dropped, this.#weights("classifier"));
  }

  #embeddings(): tf.Tensor2D {
    const name = "bert.embeddings";
    const { padTokenId, layerNormEpsilon, hiddenDropout } = this.#config;
    const ids = inputOf(this.#context, "input_ids");
    const summed = embed(
      {
        words: this.#variable(wordEmbeddings),
        positions: this.#variable(`${name}.position_embeddings.weight`),
        types: this.#variable(`${name}.token_type_embeddings.weight`),
      },
      {
        ids,
        places: this.#context.inputs[placesInput(wordEmbeddings)] ?? ids,
        typeIds: inputOf(this.#context, "token_type_ids"),
        padTokenId,
      },
    );
    const normed = layerNorm(summed, null, this.#weights(`${name}.LayerNorm`), layerNormEpsilon);
    return this.#dropout(name, normed, hiddenDropout);
  }

  #layer(index: number, rows: tf.Tensor2D): tf.Tensor2D {
    const name = `bert.encoder.layer.${index}`;
    const { batch, length, heads } = this.#shape;
    const project = (part: string) => dense(rows, this.#weights(`${name}.attention.self.${part}`));
    const projected = [project("query"), project("key"), project("value")] as const;
    const masks = this.#attentionMasks(name, [batch, heads, length, length]);
    return this.#afterAttention(name, attend(projected, this.#shape, masks), rows);
  }

  #firstRowLayer(index: number, rows: tf.Tensor2D): tf.Tensor2D {
    const name = `bert.encoder.layer.${index}`;
    const self = `${name}.attention.self`;
    const { batch, length, heads, headSize } = this.#shape;
    const features = heads * headSize;
    const tokens = tf.reshape(rows, [batch, length, features]);
    const first: tf.Tensor2D = tf.reshape(tf.slice(tokens, [0, 0, 0], [batch, 1, features]), [
      batch,
      features,
    ]);
    const query = dense(first, this.#weights(`${self}.query`));
    const masks = this.#attentionMasks(name, [batch, heads, length]);
    const key = this.#variable(`${self}.key.weight`);
    const value = this.#weights(`${self}.value`);
    const context = attendFirstRow(query, rows, { key, value }, { shape: this.#shape, masks });
    return this.#afterAttention(name, context, first);
  }

  /** Output projection, feed-forward and both residual connections of a layer. */
  #afterAttention(name: string, context: tf.Tensor2D, input: tf.Tensor2D): tf.Tensor2D {
    const { hiddenDropout, layerNormEpsilon, hiddenAct } = this.#config;
    const output = `${name}.attention.output`;
    const projected = dense(context, this.#weights(`${output}.dense`));
    const attended = layerNorm(
      this.#dropout(output, projected, hiddenDropout),
      input,
      this.#weights(`${output}.LayerNorm`),
      layerNormEpsilon,
    );
    const inner = activationOf(hiddenAct)(
      dense(attended, this.#weights(`${name}.intermediate.dense`)),
    );
    const outer = dense(inner, this.#weights(`${name}.output.dense`));
    return layerNorm(
      this.#dropout(`${name}.output`, outer, hiddenDropout),
      attended,
      this.#weights(`${name}.output.LayerNorm`),
      layerNormEpsilon,
    );
  }

  #attentionMasks(name: string, shape: readonly number[]): AttentionMasks {
    const { attentionDropout } = this.#config;
    const dropout = this.#dropoutMask(`${name}.attention.self`, shape, attentionDropout);
    return { bias: this.#maskBias, dropout };
  }

  #dropout(site: string, x: tf.Tensor2D, rate: number): tf.Tensor2D {
    const mask = this.#dropoutMask(site, x.shape, rate);
    return mask === null ? x : tf.mul(x, mask);
  }

  #dropoutMask(site: string, shape: readonly number[], rate: number): tf.Tensor | null {
    if (!this.#context.training || rate === 0) return null;
    return this.#context.dropoutMask(site, shape, rate);
  }

  #weights(name: string): LayerWeights {
    return { weight: this.#variable(`${name}.weight`), bias: this.#variable(`${name}.bias`) };
  }

  #variable(name: string): tf.Variable {
    const variable = this.#context.variables[name];
    if (variable === undefined)
      throw new RangeError(`Cannot run BERT as a variable is missing: ${name}`);
    return variable;
  }
}
