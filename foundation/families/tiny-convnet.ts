/**
 * A small convolutional classifier with batch normalisation, for tests: its statistics belong to the microbatch, its
 * running averages are buffers of the parameter table.
 */
import { z } from "zod";
import type { TensorSpec } from "../parameters/table.ts";
import {
  batchNormSpecs,
  imageFields,
  numberedLabels,
  parameterSpec,
  type BatchNormNames,
} from "./image-config.ts";
import { parseFamilyConfig, valuesFamily } from "./values-family.ts";

const configSchema = z.object({
  ...imageFields,
  model_type: z.literal("tiny-convnet"),
  /** Filters of the first layer; the second has twice as many. */
  filters: z.int().min(1).max(64),
  /** Without it, the layers have biases instead. */
  batch_norm: z.boolean().default(true),
});

/** A config of this family. */
export type TinyConvnetConfig = z.output<typeof configSchema>;

/** Checks a parsed `config.json`. Throws BadInput. */
export function parseTinyConvnetConfig(config: unknown): TinyConvnetConfig {
  return parseFamilyConfig(configSchema, config);
}

function normNames(norm: string): BatchNormNames {
  return {
    scale: `${norm}.scale`,
    bias: `${norm}.bias`,
    mean: `${norm}.running_mean`,
    variance: `${norm}.running_var`,
  };
}

/** Filters of the two convolutions, 3 × 3 each, the second of stride 2. */
export function convolutionsOf(config: TinyConvnetConfig) {
  const { channels, filters } = config;
  const [first, second] = [normNames("norm1"), normNames("norm2")];
  return [
    { name: "conv1", norm: first, inputs: channels, outputs: filters, stride: 1 },
    { name: "conv2", norm: second, inputs: filters, outputs: 2 * filters, stride: 2 },
  ] as const;
}

/** The tensors of a config; filters are [height, width, in, out], the last layer is [labels, features]. */
export function tinyConvnetTensors(config: TinyConvnetConfig): readonly TensorSpec[] {
  const layers = convolutionsOf(config).flatMap(({ name, norm, inputs, outputs }) => [
    parameterSpec(`${name}.weight`, [3, 3, inputs, outputs], true),
    ...(config.batch_norm
      ? batchNormSpecs(norm, outputs)
      : [parameterSpec(`${name}.bias`, [outputs], false)]),
  ]);
  return [
    ...layers,
    parameterSpec("head.weight", [config.num_labels, 2 * config.filters], true),
    parameterSpec("head.bias", [config.num_labels], false),
  ];
}

/** The family, for the coordinator. */
export const tinyConvnetFamily = valuesFamily({
  name: "tiny-convnet",
  tensors: (config) => tinyConvnetTensors(parseTinyConvnetConfig(config)),
  labels: (config) => numberedLabels(parseTinyConvnetConfig(config).num_labels),
  // Its biases' gradients are sums over whole tensors, which are cut by threads.
  threadsMatter: true,
});
