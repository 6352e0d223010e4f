/**
 * Two small encoders trained to bring the two halves of a record together, for tests: the loss of each sample depends on
 * all samples of the global batch, whichever worker holds them.
 */
import { z } from "zod";
import type { TensorSpec } from "../parameters/table.ts";
import { parseFamilyConfig, valuesFamily } from "./values-family.ts";

const configSchema = z.object({
  model_type: z.literal("two-tower"),
  /** Values of a record: the left half, then the right half. */
  left_size: z.int().min(1).max(1024),
  right_size: z.int().min(1).max(1024),
  hidden_size: z.int().min(1).max(1024),
  embedding_size: z.int().min(1).max(1024),
  hidden_dropout_prob: z.number().min(0).lt(1).default(0.1),
  temperature: z.number().positive().default(0.5),
});

/** A config of this family. */
export type TwoTowerConfig = z.output<typeof configSchema>;

/** Checks a parsed `config.json`. Throws BadInput. */
export function parseTwoTowerConfig(config: unknown): TwoTowerConfig {
  return parseFamilyConfig(configSchema, config);
}

/** The towers by name, with the values that each reads. */
export function towersOf(config: TwoTowerConfig) {
  return [
    { name: "left", inputs: config.left_size },
    { name: "right", inputs: config.right_size },
  ] as const;
}

/** The tensors of a config; weights are [out, in]. */
export function twoTowerTensors(config: TwoTowerConfig): readonly TensorSpec[] {
  const dense = (name: string, outputs: number, inputs: number): TensorSpec[] => [
    { name: `${name}.weight`, shape: [outputs, inputs], kind: "parameter", decay: true },
    { name: `${name}.bias`, shape: [outputs], kind: "parameter", decay: false },
  ];
  return towersOf(config).flatMap(({ name, inputs }) => [
    ...dense(`${name}.hidden`, config.hidden_size, inputs),
    ...dense(`${name}.projection`, config.embedding_size, config.hidden_size),
  ]);
}

/** Elements of one record. */
export function twoTowerWidth(config: TwoTowerConfig): number {
  return config.left_size + config.right_size;
}

/** The family, for the coordinator. */
export const twoTowerFamily = valuesFamily({
  name: "two-tower",
  tensors: (config) => twoTowerTensors(parseTwoTowerConfig(config)),
  labels: () => [],
  // Its loss is a sum over everything, which is cut by threads.
  threadsMatter: true,
});
