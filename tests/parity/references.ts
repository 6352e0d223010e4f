/** references.json, checked. */
import { readFileSync } from "node:fs";
import { z } from "zod";

const rows = z.array(z.array(z.number()));
const projections = z.record(z.string(), z.array(z.number()));
const batch = z.object({ input_ids: rows, attention_mask: rows, token_type_ids: rows });

const schema = z.object({
  versions: z.object({ torch: z.string(), transformers: z.string() }),
  minilm: batch.extend({
    labels: z.array(z.number()),
    logits: z.array(z.number()),
    loss: z.number(),
    gradients: projections,
    training: z.object({
      learning_rates: z.array(z.number()),
      losses: z.array(z.number()),
      norms: z.array(z.number()),
      changes: projections,
      weight_decay: z.number(),
      max_grad_norm: z.number(),
    }),
  }),
  tiny: z.object({
    config: z.record(z.string(), z.unknown()),
    batch,
    cases: z.record(
      z.string(),
      z.object({
        fields: z.record(z.string(), z.unknown()),
        labels: z.union([z.array(z.number()), rows]),
        smoothing: z.number(),
        logits: z.array(z.number()),
        loss: z.number(),
        gradients: projections,
      }),
    ),
  }),
});

/** Token rows as transformers' tokenizer gives them. */
export type TokenRows = z.infer<typeof batch>;

/** What PyTorch and transformers computed (make-references.py). */
export const references = schema.parse(
  JSON.parse(readFileSync(new URL("references.json", import.meta.url), "utf8")),
);
