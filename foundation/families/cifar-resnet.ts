/**
 * ResNet for small images (He et al. 2016, the ResNet-18 that is usual for CIFAR): a 3 × 3 stem without pooling, stages of
 * basic blocks, each stage but the first halves height and width. Tensors have torchvision's names; filters are
 * [height, width, in, out] as the engine computes with them (NHWC).
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

const stageLimit = 5;

const configSchema = z
  .object({
    ...imageFields,
    model_type: z.literal("cifar-resnet"),
    /** Channels of each stage; the stem has as many as the first. */
    hidden_sizes: z.array(z.int().min(1).max(2048)).min(1).max(stageLimit),
    /** Blocks of each stage. */
    depths: z.array(z.int().min(1).max(64)).min(1).max(stageLimit),
  })
  .refine(({ hidden_sizes: sizes, depths }) => sizes.length === depths.length, {
    message: "as many depths as hidden_sizes",
    path: ["depths"],
  });

/** A config of this family. */
export type CifarResnetConfig = z.output<typeof configSchema>;

/** Checks a parsed `config.json`. Throws BadInput. */
export function parseCifarResnetConfig(config: unknown): CifarResnetConfig {
  return parseFamilyConfig(configSchema, config);
}

/** A convolution without bias and the normalisation that follows it. */
export interface NormedConvolution {
  /** Table name of the filters, [size, size, inputs, outputs]. */
  readonly filters: string;
  readonly norm: BatchNormNames;
  readonly size: 1 | 3;
  readonly stride: 1 | 2;
  readonly inputs: number;
  readonly outputs: number;
}

/** relu(second(relu(first(x))) + shortcut(x)); without a shortcut, x itself is added. */
export interface BasicBlock {
  readonly first: NormedConvolution;
  readonly second: NormedConvolution;
  readonly shortcut: NormedConvolution | null;
}

function normNames(norm: string): BatchNormNames {
  return {
    scale: `${norm}.weight`,
    bias: `${norm}.bias`,
    mean: `${norm}.running_mean`,
    variance: `${norm}.running_var`,
  };
}

/** The layers of a config in their order. */
export function layersOf(config: CifarResnetConfig): {
  readonly stem: NormedConvolution;
  readonly blocks: readonly BasicBlock[];
  /** Channels that the last layer reads. */
  readonly features: number;
} {
  const { hidden_sizes: sizes, depths, channels } = config;
  const [width = 0] = sizes;
  const stem: NormedConvolution = {
    filters: "conv1.weight",
    norm: normNames("bn1"),
    size: 3,
    stride: 1,
    inputs: channels,
    outputs: width,
  };
  const blocks = sizes.flatMap((outputs, stage) =>
    Array.from({ length: depths[stage] ?? 0 }, (_, index) => {
      const inputs = index > 0 ? outputs : (sizes[stage - 1] ?? width);
      const stride = index === 0 && stage > 0 ? 2 : 1;
      return basicBlock(`layer${stage + 1}.${index}`, { inputs, outputs, stride });
    }),
  );
  return { stem, blocks, features: sizes.at(-1) ?? width };
}

function basicBlock(
  name: string,
  form: { readonly inputs: number; readonly outputs: number; readonly stride: 1 | 2 },
): BasicBlock {
  const { inputs, outputs, stride } = form;
  const first = {
    filters: `${name}.conv1.weight`,
    norm: normNames(`${name}.bn1`),
    size: 3,
  } as const;
  const second = {
    filters: `${name}.conv2.weight`,
    norm: normNames(`${name}.bn2`),
    size: 3,
  } as const;
  const shortcut = {
    filters: `${name}.downsample.0.weight`,
    norm: normNames(`${name}.downsample.1`),
    size: 1,
  } as const;
  return {
    first: { ...first, inputs, outputs, stride },
    second: { ...second, inputs: outputs, outputs, stride: 1 },
    shortcut: stride === 1 && inputs === outputs ? null : { ...shortcut, inputs, outputs, stride },
  };
}

/** The tensors of a config; the last layer is [labels, features]. */
export function cifarResnetTensors(config: CifarResnetConfig): readonly TensorSpec[] {
  const { stem, blocks, features } = layersOf(config);
  const convolutions = [
    stem,
    ...blocks.flatMap(({ first, second, shortcut }) =>
      shortcut === null ? [first, second] : [first, second, shortcut],
    ),
  ];
  return [
    ...convolutions.flatMap(({ filters, norm, size, inputs, outputs }) => [
      parameterSpec(filters, [size, size, inputs, outputs], true),
      ...batchNormSpecs(norm, outputs),
    ]),
    parameterSpec("fc.weight", [config.num_labels, features], true),
    parameterSpec("fc.bias", [config.num_labels], false),
  ];
}

/** The family, for the coordinator. */
export const cifarResnetFamily = valuesFamily({
  name: "cifar-resnet",
  tensors: (config) => cifarResnetTensors(parseCifarResnetConfig(config)),
  labels: (config) => numberedLabels(parseCifarResnetConfig(config).num_labels),
  threadsMatter: false,
});
