/**
 * What this machine computes of fixed inputs: the gradient of a microbatch, and the state after an update. Machines that
 * come to other hashes train other bits, and are told apart before the first step.
 */
import { create } from "@bufbuild/protobuf";
import { familyOf } from "../foundation/families/family.ts";
import { wholeShare } from "../foundation/parameters/shares.ts";
import { parseJsonObject } from "../foundation/model-files/json-object.ts";
import {
  SampleRecordSchema,
  SelfTestSchema,
  type Prepare,
  type SampleRecord,
  type SelfTest,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import { allocateShared } from "./engine/shared-vector.ts";
import type { TensorHasher } from "./hashing/tensor-hasher.ts";
import type { PreparedJob } from "./job.ts";

const weightRange = 0.1;
const gradientRange = 0.01;
const learningRate = 1e-3;
/** Where moments are shared out, so many elements stand for all: none has room for the whole. */
const sharedElementsMax = 65_536;

/**
 * Runs one step on fixed inputs; what it leaves in the engine is no state to train from, so a state must be loaded after.
 * Null for a family that reads no text.
 */
export async function runSelfTest(
  prepare: Prepare,
  job: Pick<
    PreparedJob,
    "engine" | "input" | "table" | "reductionParts" | "microbatchSize" | "zeroStage"
  >,
  hasher: TensorHasher,
  signal: AbortSignal,
): Promise<SelfTest | null> {
  const { engine, input, table, reductionParts } = job;
  const config = parseJsonObject(prepare.modelConfigJson, "config.json");
  const family = familyOf(prepare.modelConfigJson);
  if (family.textLimits(config) === null) return null;
  const parameters = allocateShared(table.stateSize);
  fillFixed(parameters, 1, weightRange);
  const share = wholeShare(Math.min(table.trainableSize, sharedElementsMax));
  const start = { parameters, step: 0, share: job.zeroStage === 1 ? share : undefined };
  await engine.loadState(start);
  await engine.giveBack(start);
  const size = reductionParts.reduce((sum, part) => sum + part, 0);
  const into = allocateShared(size);
  const samples = fixedSamples(job.microbatchSize, family.labels(config).length);
  const batch = await input.collate(samples, job.microbatchSize);
  const at = { step: 1, microbatch: 0, microbatchCount: 1 };
  await engine.runPhase(0, batch, at, { gathered: {}, into });
  const gradient = await hashOf(into, hasher, signal);
  // The update is tested apart from the gradient: with values that are the same everywhere.
  fillFixed(into.subarray(0, size - 1), 2, gradientRange);
  into[size - 1] = 1;
  await engine.norm(into);
  if (job.zeroStage === 1) {
    await engine.updateShare({ step: 1, learningRate });
    await engine.takeWeights();
  } else {
    await engine.update({ step: 1, learningRate });
  }
  const state = await engine.readState(true);
  const hashes: bigint[] = [];
  for (const part of [state.parameters, state.firstMoment, state.secondMoment]) {
    if (part !== undefined) hashes.push(await hashOf(part, hasher, signal));
  }
  await engine.giveBack(state);
  const [update = 0n] = await hasher.hashTensors(bitsOf(hashes), [2 * hashes.length], signal);
  return create(SelfTestSchema, { gradient, update });
}

async function hashOf(
  vector: Float32Array,
  hasher: TensorHasher,
  signal: AbortSignal,
): Promise<bigint> {
  const [hash = 0n] = await hasher.hashTensors(vector, [vector.length], signal);
  return hash;
}

/** The bits of hashes as a vector that can be hashed. */
function bitsOf(hashes: readonly bigint[]): Float32Array {
  return new Float32Array(BigUint64Array.from(hashes).buffer);
}

/** Values in ± range/2 from a linear congruential generator (Numerical Recipes'): exact, hence the same everywhere. */
function fillFixed(values: Float32Array, seed: number, range: number): void {
  let word = seed;
  for (let i = 0; i < values.length; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    values[i] = (word / 2 ** 32 - 0.5) * range;
  }
}

/** Texts of several lengths, the longest beyond any limit, so that the longest sequence is computed. */
function fixedSamples(rows: number, labels: number): SampleRecord[] {
  return Array.from({ length: rows }, (_, row) =>
    create(SampleRecordSchema, {
      index: BigInt(row),
      text: "the quick brown fox jumps over the lazy dog . ".repeat(row === 0 ? 200 : row),
      label: 0,
      targets: Array.from({ length: labels }, () => 0.5),
    }),
  );
}
