/**
 * `config.json` of a BERT model, as transformers' BertConfig reads it. Fields that decide a result are honoured or
 * refused by name; fields that change none (`use_cache`, `gradient_checkpointing`, `_name_or_path`, …) are not looked at.
 */
import { z } from "zod";
import { BadInput } from "../bad-input.ts";
import { expectedBy } from "../model-files/expected-by.ts";
import type { ProblemType } from "./family.ts";

/** Activations by their names in transformers' ACT2FN, as far as they are computed here. */
export const activationNames = [
  "gelu",
  "gelu_python",
  "gelu_new",
  "gelu_fast",
  "gelu_pytorch_tanh",
  "gelu_accurate",
  "quick_gelu",
  "relu",
  "relu6",
  "leaky_relu",
  "silu",
  "swish",
  "tanh",
  "sigmoid",
  "linear",
] as const;

/** Name of an activation. */
export type ActivationName = (typeof activationNames)[number];

/** A checked config. */
export interface BertConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  readonly intermediateSize: number;
  readonly hiddenAct: ActivationName;
  readonly hiddenDropout: number;
  readonly attentionDropout: number;
  readonly classifierDropout: number;
  readonly maxPositions: number;
  readonly typeVocabSize: number;
  readonly initializerRange: number;
  readonly layerNormEpsilon: number;
  /** Token whose embedding has no gradient, or null. */
  readonly padTokenId: number | null;
  /** Labels in the order of their numbers. */
  readonly labels: readonly string[];
  /** As stated, or implied: one label is a regression, as in transformers. */
  readonly problemType: ProblemType;
  /** Whether all rows of the last layer are computed, though one a sequence is read: for measuring what leaving them out gains. */
  readonly lastLayerWhole: boolean;
}

const size = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const rate = z.number().min(0).lt(1);
const off = (why: string) => z.literal(false, { error: `false (${why})` });

// Defaults are those of transformers' BertConfig.
const schema = z.object({
  vocab_size: size.default(30522),
  hidden_size: size.default(768),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  intermediate_size: size.default(3072),
  hidden_act: z.enum(activationNames).default("gelu"),
  hidden_dropout_prob: rate.default(0.1),
  attention_probs_dropout_prob: rate.default(0.1),
  classifier_dropout: rate.nullish(),
  max_position_embeddings: size.default(512),
  type_vocab_size: size.default(2),
  initializer_range: z.number().min(0).default(0.02),
  layer_norm_eps: z.number().gt(0).default(1e-12),
  pad_token_id: z.number().int().min(0).nullish().default(0),
  position_embedding_type: z
    .literal("absolute", { error: '"absolute" (relative positions are not supported)' })
    .nullish(),
  is_decoder: off("a decoder does not classify").nullish(),
  add_cross_attention: off("cross attention is not supported").nullish(),
  pruned_heads: z
    .record(z.string(), z.unknown())
    .refine((heads) => Object.keys(heads).length === 0, "no pruned heads")
    .nullish(),
  quantization_config: z.null({ error: "no quantised weights" }).optional(),
  num_labels: size.nullish(),
  id2label: z.record(z.string().regex(/^\d+$/, "label numbers as keys"), z.string()).nullish(),
  label2id: z.record(z.string(), z.number().int().min(0)).nullish(),
  problem_type: z
    .enum(["single_label_classification", "multi_label_classification", "regression"])
    .nullish(),
  // Not transformers': benches write it.
  ringmaster_last_layer_whole: z.boolean().default(false),
});

/**
 * Checks a parsed `config.json`. Throws BadInput naming the file and the field.
 * @param file as the user named it
 */
export function parseBertConfig(config: unknown, file = "config.json"): BertConfig {
  const parsed = schema.safeParse(config);
  if (!parsed.success) throw badField(parsed.error.issues[0], config, file);
  const fields = parsed.data;
  if (fields.hidden_size % fields.num_attention_heads !== 0) {
    throw new BadInput({
      file,
      column: "hidden_size",
      expected: `a multiple of num_attention_heads (${fields.num_attention_heads})`,
      found: String(fields.hidden_size),
    });
  }
  if (typeof fields.pad_token_id === "number" && fields.pad_token_id >= fields.vocab_size) {
    const expected = `a number below vocab_size (${fields.vocab_size})`;
    throw new BadInput({ file, column: "pad_token_id", expected, found: `${fields.pad_token_id}` });
  }
  const labels = labelsOf(fields, file);
  return {
    vocabSize: fields.vocab_size,
    hiddenSize: fields.hidden_size,
    layerCount: fields.num_hidden_layers,
    headCount: fields.num_attention_heads,
    intermediateSize: fields.intermediate_size,
    hiddenAct: fields.hidden_act,
    hiddenDropout: fields.hidden_dropout_prob,
    attentionDropout: fields.attention_probs_dropout_prob,
    classifierDropout: fields.classifier_dropout ?? fields.hidden_dropout_prob,
    maxPositions: fields.max_position_embeddings,
    typeVocabSize: fields.type_vocab_size,
    initializerRange: fields.initializer_range,
    layerNormEpsilon: fields.layer_norm_eps,
    padTokenId: fields.pad_token_id ?? null,
    labels,
    problemType:
      fields.problem_type ?? (labels.length === 1 ? "regression" : "single_label_classification"),
    lastLayerWhole: fields.ringmaster_last_layer_whole,
  };
}

function labelsOf(fields: z.infer<typeof schema>, file: string): readonly string[] {
  if (fields.id2label === undefined || fields.id2label === null) {
    return Array.from({ length: fields.num_labels ?? 2 }, (_, number) => `LABEL_${number}`);
  }
  const named = new Map(
    Object.entries(fields.id2label).map(([key, label]) => [Number(key), label]),
  );
  const labels = Array.from({ length: named.size }, (_, number) => named.get(number));
  if (labels.length === 0 || labels.some((label) => label === undefined)) {
    throw new BadInput({
      file,
      column: "id2label",
      expected: "the numbers 0, 1, … without a gap as keys",
      found: Object.keys(fields.id2label).join(", ") || "none",
    });
  }
  return labels.filter((label) => label !== undefined);
}

function badField(issue: z.core.$ZodIssue | undefined, config: unknown, file: string): BadInput {
  const [field, ...rest] = issue?.path ?? [];
  const column = field === undefined ? {} : { column: [field, ...rest].map(String).join(".") };
  let found: unknown = config;
  for (const key of issue?.path ?? []) {
    found = typeof found === "object" && found !== null ? Reflect.get(found, key) : undefined;
  }
  const expected = expectedBy(issue);
  return new BadInput({ file, ...column, expected, found: JSON.stringify(found) ?? "nothing" });
}
