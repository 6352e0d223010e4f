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
import { layOutGather } from "./gather.ts";
import type { TensorHasher } from "./hashing/tensor-hasher.ts";
import type { PreparedJob } from "./job.ts";
import { valuesFormOf } from "./model/collate-values.ts";

const weightRange = 0.1;
const gradientRange = 0.01;
const valueRange = 2;
const learningRate = 1e-3;
/** Where moments are shared out, so many elements stand for all: none has room for the whole. */
const sharedElementsMax = 65_536;

type TestedJob = Pick<
  PreparedJob,
  | "engine"
  | "input"
  | "table"
  | "phases"
  | "reductionParts"
  | "microbatchSize"
  | "microbatchesPerStep"
  | "zeroStage"
>;

/** Runs one step on fixed inputs; what it leaves in the engine is no state to train from, so a state must be loaded after. */
export async function runSelfTest(
  prepare: Prepare,
  job: TestedJob,
  hasher: TensorHasher,
  signal: AbortSignal,
): Promise<SelfTest> {
  const { engine, table, reductionParts } = job;
  const parameters = allocateShared(table.stateSize);
  fillFixed(parameters, 1, weightRange);
  const share = wholeShare(Math.min(table.trainableSize, sharedElementsMax));
  const start = { parameters, step: 0, share: job.zeroStage === 1 ? share : undefined };
  await engine.loadState(start);
  await engine.giveBack(start);
  const size = reductionParts.reduce((sum, part) => sum + part, 0);
  const into = allocateShared(size);
  await runPhases(prepare, job, into);
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

/** Runs all phases over one microbatch; what others would give to a gather is zero, as of microbatches that a batch lacks. */
async function runPhases(prepare: Prepare, job: TestedJob, into: Float32Array): Promise<void> {
  const { engine, input, microbatchSize } = job;
  const batch = await input.collate(fixedSamples(prepare, microbatchSize), microbatchSize);
  const at = { step: 1, microbatch: 0, microbatchCount: 1 };
  const gathered: Record<string, Float32Array> = {};
  for (const [index, { gives }] of job.phases.entries()) {
    const given = await engine.runPhase(index, batch, at, { gathered, into });
    for (const { name, size } of layOutGather(gives, job.microbatchesPerStep).fields) {
      const whole = new Float32Array(size);
      whole.set(given.gathered?.[name] ?? []);
      gathered[name] = whole;
    }
  }
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

function fixedSamples(prepare: Prepare, rows: number): SampleRecord[] {
  const config = parseJsonObject(prepare.modelConfigJson, "config.json");
  const family = familyOf(prepare.modelConfigJson);
  return family.textLimits(config) === null
    ? fixedValues(rows, valuesFormOf(config))
    : fixedTexts(rows, family.labels(config).length);
}

/** Values between −1 and 1, others in each row; no labels where there are none. */
function fixedValues(
  rows: number,
  { width, labels }: { readonly width: number; readonly labels: number },
): SampleRecord[] {
  return Array.from({ length: rows }, (_, row) => {
    const values = new Float32Array(width);
    fillFixed(values, 3 + row, valueRange);
    return create(SampleRecordSchema, {
      index: BigInt(row),
      values: new Uint8Array(values.buffer),
      ...(labels > 0 ? { label: row % labels } : {}),
    });
  });
}

/** Texts of several lengths, the longest beyond any limit, so that the longest sequence is computed. */
function fixedTexts(rows: number, labels: number): SampleRecord[] {
  return Array.from({ length: rows }, (_, row) =>
    create(SampleRecordSchema, {
      index: BigInt(row),
      text: "the quick brown fox jumps over the lazy dog . ".repeat(row === 0 ? 200 : row),
      label: 0,
      targets: Array.from({ length: labels }, () => 0.5),
    }),
  );
}
