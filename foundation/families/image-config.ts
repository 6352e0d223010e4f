/** Fields that the configs of image classifiers share, and the tensors of their normalised convolutions. */
import { z } from "zod";
import type { TensorSpec } from "../parameters/table.ts";

/** Fields of every image classifier's config. */
export const imageFields = {
  /** Height and width of an image. */
  image_size: z.int().min(2).max(64),
  /** Values of a pixel. */
  channels: z.int().min(1).max(16).default(3),
  num_labels: z.int().min(2).max(1000),
  /** Share of the new statistics in a running average. */
  batch_norm_momentum: z.number().min(0).max(1).default(0.1),
  batch_norm_eps: z.number().positive().default(1e-5),
};

/** What an image is made of. */
export interface ImageForm {
  readonly image_size: number;
  readonly channels: number;
}

/** Elements of one record: rows of pixels, each with its channels. */
export function imageWidth({ image_size: size, channels }: ImageForm): number {
  return size ** 2 * channels;
}

/** A tensor with a gradient. @param decay whether weight decay applies */
export function parameterSpec(name: string, shape: readonly number[], decay: boolean): TensorSpec {
  return { name, shape, kind: "parameter", decay };
}

/** Names of the tensors of one batch normalisation. */
export interface BatchNormNames {
  readonly scale: string;
  readonly bias: string;
  readonly mean: string;
  readonly variance: string;
}

/** The tensors of one batch normalisation, each of shape [channels]; the running averages are buffers. */
export function batchNormSpecs(names: BatchNormNames, channels: number): readonly TensorSpec[] {
  const buffer = (name: string): TensorSpec => ({
    name,
    shape: [channels],
    kind: "buffer",
    decay: false,
  });
  return [
    parameterSpec(names.scale, [channels], false),
    parameterSpec(names.bias, [channels], false),
    buffer(names.mean),
    buffer(names.variance),
  ];
}

/** Labels that are only numbers. */
export function numberedLabels(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `${i}`);
}
