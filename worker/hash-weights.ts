/** Hashes of a worker's weights, by which replicas and runs are compared. */
import { create } from "@bufbuild/protobuf";
import { WeightsHashedSchema, type WeightsHashed } from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { TensorHasher } from "./hashing/tensor-hasher.ts";
import { abortable } from "./input/feed.ts";
import type { PreparedJob } from "./job.ts";

/** Reads the weights out and hashes each tensor. Throws when they are of another step; rejects with the signal's reason. */
export async function hashWeights(
  { engine, table }: Pick<PreparedJob, "engine" | "table">,
  { hasher, step }: { readonly hasher: TensorHasher; readonly step: bigint },
  signal: AbortSignal,
): Promise<WeightsHashed> {
  const state = await abortable(engine.readState(false), signal);
  if (BigInt(state.step) !== step) {
    throw new Error(
      `Cannot hash the weights of step ${step} as the state is of step ${state.step}`,
    );
  }
  const sizes = table.entries.map(({ size }) => size);
  const tensorHashes = await hasher.hashTensors(state.parameters, sizes, signal);
  return create(WeightsHashedSchema, { step, tensorHashes });
}
