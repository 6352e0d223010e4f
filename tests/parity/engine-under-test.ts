/** The real engine over the real binding, prepared for a BERT config, and batches for it. */
import { createProgressSink } from "../../foundation/native/progress.ts";
import {
  layOutTable,
  serializeTable,
  type ParameterTable,
} from "../../foundation/parameters/table.ts";
import { familyOf } from "../../foundation/families/family.ts";
import { parseJsonObject } from "../../foundation/model-files/json-object.ts";
import type { EngineOptimizer } from "../../worker/engine/engine.ts";
import { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";
import { createModel } from "../../worker/model/families.ts";
import type { Batch } from "../../worker/model/model.ts";
import { bindingUnderTest } from "../support/engine-under-test.ts";
import type { TokenRows } from "./references.ts";
import { newestConvolutionTable } from "../../foundation/convolution-table.ts";

/** AdamW as the references have it. */
export const optimizer: EngineOptimizer = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
};

/** Set-up, if any is left to do, is told in plain lines. */
export const progress = createProgressSink({
  output: process.stderr,
  isTerminal: false,
  now: () => performance.now(),
});

/** Makes an engine; it has to be closed. One binding serves all engines of a process. */
export async function startEngine(): Promise<TfjsEngine> {
  return new TfjsEngine(
    await bindingUnderTest(),
    (options) => createModel(options.family, options),
    () => performance.now(),
  );
}

/** A config with dropout off. */
export function withoutDropout(config: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({
    ...config,
    model_type: "bert",
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    classifier_dropout: 0,
  });
}

/** The table of a config. */
export function tableOf(configJson: string): ParameterTable {
  return layOutTable(familyOf(configJson).tensors(parseJsonObject(configJson, "config.json")));
}

/** Settings of a test's programs: training, recorded, one microbatch a step, one length. */
export function programs(configJson: string, rows: number, length: number) {
  return {
    family: "bert",
    configJson,
    tableJson: serializeTable(tableOf(configJson)),
    optimizer,
    microbatchSize: rows,
    evalMicrobatchSize: rows,
    bucketLengths: [length],
    maxLength: length,
    labelSmoothing: 0,
    convolutionTable: newestConvolutionTable,
    seed: 42n,
    training: true,
    eager: false,
    precision: "fp32" as const,
    gradientCheckpointing: false,
    microbatchesPerStep: 1,
    cacheFolder: null,
  };
}

/** Some rows of the references as a batch. */
export function batchOf(
  tokens: TokenRows,
  labels: Float32Array | Int32Array,
  chosen: readonly number[] = tokens.input_ids.map((_, row) => row),
): Batch {
  const flat = (rows: readonly (readonly number[])[]) => chosen.flatMap((row) => rows[row]!);
  const length = tokens.input_ids[0]!.length;
  const mask = Float32Array.from(flat(tokens.attention_mask));
  return {
    shapeKey: String(length),
    arrays: {
      input_ids: Int32Array.from(flat(tokens.input_ids)),
      attention_mask: mask,
      token_type_ids: Int32Array.from(flat(tokens.token_type_ids)),
      labels,
      weights: new Float32Array(chosen.length).fill(1),
    },
    samples: chosen.length,
    tokens: mask.reduce((sum, value) => sum + value, 0),
    paddedTokens: mask.length,
    truncated: 0,
  };
}
