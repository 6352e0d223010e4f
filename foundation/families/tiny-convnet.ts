/**
 * A small convolutional classifier with batch normalisation, for tests: its statistics belong to the microbatch, its
 * running averages are buffers of the parameter table.
 */
import { z } from "zod";
import type { TensorSpec } from "../parameters/table.ts";
import { parseFamilyConfig, valuesFamily } from "./values-family.ts";

const configSchema = z.object({
  model_type: z.literal("tiny-convnet"),
  /** Height and width of an image. */
  image_size: z.int().min(2).max(64),
  channels: z.int().min(1).max(16),
  /** Filters of the first layer; the second has twice as many. */
  filters: z.int().min(1).max(64),
  num_labels: z.int().min(2).max(1000),
  /** Without it, the layers have biases instead. */
  batch_norm: z.boolean().default(true),
  /** Share of the new statistics in a running average. */
  batch_norm_momentum: z.number().min(0).max(1).default(0.1),
  batch_norm_eps: z.number().positive().default(1e-5),
});

/** A config of this family. */
export type TinyConvnetConfig = z.output<typeof configSchema>;

/** Checks a parsed `config.json`. Throws BadInput. */
export function parseTinyConvnetConfig(config: unknown): TinyConvnetConfig {
  return parseFamilyConfig(configSchema, config);
}

/** Filters of the two convolutions, 3 × 3 each, the second of stride 2. */
export function convolutionsOf(config: TinyConvnetConfig) {
  const { channels, filters } = config;
  return [
    { name: "conv1", norm: "norm1", inputs: channels, outputs: filters, stride: 1 },
    { name: "conv2", norm: "norm2", inputs: filters, outputs: 2 * filters, stride: 2 },
  ] as const;
}

/** The tensors of a config; filters are [height, width, in, out], the last layer is [labels, features]. */
export function tinyConvnetTensors(config: TinyConvnetConfig): readonly TensorSpec[] {
  const parameter = (name: string, shape: readonly number[], decay: boolean): TensorSpec => ({
    name,
    shape,
    kind: "parameter",
    decay,
  });
  const buffer = (name: string, size: number): TensorSpec => ({
    name,
    shape: [size],
    kind: "buffer",
    decay: false,
  });
  const layers = convolutionsOf(config).flatMap(({ name, norm, inputs, outputs }) => [
    parameter(`${name}.weight`, [3, 3, inputs, outputs], true),
    ...(config.batch_norm
      ? [
          parameter(`${norm}.scale`, [outputs], false),
          parameter(`${norm}.bias`, [outputs], false),
          buffer(`${norm}.running_mean`, outputs),
          buffer(`${norm}.running_var`, outputs),
        ]
      : [parameter(`${name}.bias`, [outputs], false)]),
  ]);
  return [
    ...layers,
    parameter("head.weight", [config.num_labels, 2 * config.filters], true),
    parameter("head.bias", [config.num_labels], false),
  ];
}

/** Elements of one record. */
export function tinyConvnetWidth(config: TinyConvnetConfig): number {
  return config.image_size ** 2 * config.channels;
}

/** The family, for the coordinator. */
export const tinyConvnetFamily = valuesFamily(
  "tiny-convnet",
  (config) => tinyConvnetTensors(parseTinyConvnetConfig(config)),
  (config) => Array.from({ length: parseTinyConvnetConfig(config).num_labels }, (_, i) => `${i}`),
);
