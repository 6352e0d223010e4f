/**
 * The forward pass of BertForSequenceClassification, tokens to logits. Dropout sits where transformers has it; gradients
 * come from the tape and from the blocks' own. The last layer is computed for the [CLS] row only, unless the config wants it whole.
 */
import * as tf from "@tensorflow/tfjs";
import type { BertConfig } from "../../foundation/families/bert-config.ts";
import { wordEmbeddings } from "../../foundation/families/bert.ts";
import { activationOf } from "./activations.ts";
import { dropOut, geluOfSum, layerNorm, type DropoutSite, type NormSum } from "./blocks.ts";
import { dense, project, type LayerWeights } from "./layers.ts";
import type { PhaseContext } from "./model.ts";
import { layoutOf, type TokenLayout } from "./token-layout.ts";

const undropped = { site: "", rate: 0 };

/** Logits of all rows, [batch, labels]. */
export function bertLogits(config: BertConfig, context: PhaseContext): tf.Tensor2D {
  const network = new BertNetwork(config, context);
  return network.logits();
}

class BertNetwork {
  readonly #config: BertConfig;
  readonly #context: PhaseContext;
  readonly #tokens: TokenLayout;

  constructor(config: BertConfig, context: PhaseContext) {
    this.#config = config;
    this.#context = context;
    const heads = config.headCount;
    const headSize = config.hiddenSize / heads;
    this.#tokens = layoutOf(context, { heads, headSize, wordTable: wordEmbeddings });
  }

  logits(): tf.Tensor2D {
    const { layerCount, classifierDropout } = this.#config;
    let rows = this.#context.segment(() => this.#embeddings());
    for (let layer = 0; layer < layerCount - 1; layer += 1) {
      const input = rows;
      rows = this.#context.segment(() => this.#layer(layer, input));
    }
    // No segment: its gradient follows at once.
    const first = this.#lastLayer(layerCount - 1, rows);
    const pooled = tf.tanh(dense(first, this.#weights("bert.pooler.dense")));
    const dropped = dropOut(this.#context, pooled, { site: "classifier", rate: classifierDropout });
    return dense(dropped, this.#weights("classifier"));
  }

  #embeddings(): tf.Tensor2D {
    const name = "bert.embeddings";
    const { padTokenId, hiddenSize, hiddenDropout } = this.#config;
    const tables = {
      words: this.#variable(wordEmbeddings),
      positions: this.#variable(`${name}.position_embeddings.weight`),
      types: this.#variable(`${name}.token_type_embeddings.weight`),
    };
    const summed = this.#tokens.embed(tables, padTokenId);
    const nothing = { bias: tf.zeros([hiddenSize]), residual: null, dropout: undropped };
    const normed = this.#layerNorm(`${name}.LayerNorm`, summed, nothing);
    return dropOut(this.#context, normed, { site: name, rate: hiddenDropout });
  }

  #layer(index: number, rows: tf.Tensor2D): tf.Tensor2D {
    const name = `bert.encoder.layer.${index}`;
    const self = `${name}.attention.self`;
    const parts = ["query", "key", "value"].map((part) => this.#weights(`${self}.${part}`));
    const projected = project(
      this.#context,
      rows,
      parts.map(({ weight }) => weight),
    );
    const bias = tf.concat(parts.map((part) => part.bias));
    const attended = this.#tokens.attend(projected, bias, this.#attentionDropout(self));
    return this.#afterAttention(name, attended, rows);
  }

  /** First row of each sequence behind the last layer. */
  #lastLayer(index: number, rows: tf.Tensor2D): tf.Tensor2D {
    if (!this.#config.lastLayerWhole) return this.#firstRowLayer(index, rows);
    return this.#tokens.firstRows(this.#layer(index, rows));
  }

  #firstRowLayer(index: number, rows: tf.Tensor2D): tf.Tensor2D {
    const name = `bert.encoder.layer.${index}`;
    const self = `${name}.attention.self`;
    const first = this.#tokens.firstRows(rows);
    const query = dense(first, this.#weights(`${self}.query`));
    const key = this.#variable(`${self}.key.weight`);
    const value = this.#weights(`${self}.value`);
    const attended = this.#tokens.attendFirstRow(
      { query, rows },
      { key, value },
      this.#attentionDropout(self),
    );
    return this.#afterAttention(name, attended, first);
  }

  /** Output projection, feed-forward and both residual connections of a layer. */
  #afterAttention(name: string, context: tf.Tensor2D, input: tf.Tensor2D): tf.Tensor2D {
    const rate = this.#config.hiddenDropout;
    const output = `${name}.attention.output`;
    const projection = this.#weights(`${output}.dense`);
    const attended = this.#layerNorm(
      `${output}.LayerNorm`,
      project(this.#context, context, [projection.weight]),
      {
        bias: projection.bias,
        residual: input,
        dropout: { site: output, rate },
      },
    );
    const inner = this.#activated(attended, this.#weights(`${name}.intermediate.dense`));
    const outer = this.#weights(`${name}.output.dense`);
    return this.#layerNorm(
      `${name}.output.LayerNorm`,
      project(this.#context, inner, [outer.weight]),
      {
        bias: outer.bias,
        residual: attended,
        dropout: { site: `${name}.output`, rate },
      },
    );
  }

  #activated(rows: tf.Tensor2D, weights: LayerWeights): tf.Tensor2D {
    const { hiddenAct } = this.#config;
    if (hiddenAct === "gelu" || hiddenAct === "gelu_python") {
      return geluOfSum(this.#context, project(this.#context, rows, [weights.weight]), weights.bias);
    }
    return activationOf(hiddenAct)(dense(rows, weights));
  }

  #layerNorm(name: string, rows: tf.Tensor2D, sum: NormSum): tf.Tensor2D {
    const epsilon = this.#config.layerNormEpsilon;
    return layerNorm(this.#context, rows, sum, { ...this.#weights(name), epsilon });
  }

  #attentionDropout(site: string): DropoutSite {
    return { site, rate: this.#config.attentionDropout };
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
