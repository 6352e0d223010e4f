/** A job made ready on this worker: engine and input thread started, programs compiled, tokenizer loaded. */
import { create } from "@bufbuild/protobuf";
import { newestConvolutionTable } from "../foundation/convolution-table.ts";
import { traitsOf, type Device } from "../foundation/device.ts";
import { wireFormOf, type WireForm } from "../foundation/gradient-wire.ts";
import { processorFeatures } from "../foundation/host/processor-features.ts";
import { refuseSlowPrecision } from "../foundation/job/check-precision.ts";
import { precisionOf } from "../foundation/precision.ts";
import { parseTable, type ParameterTable } from "../foundation/parameters/table.ts";
import {
  OptimizerSettingsSchema,
  PreparedSchema,
  type Prepare,
  type Prepared,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import type { Engine, PhaseInfo } from "./engine/engine.ts";
import { TensorHasher } from "./hashing/tensor-hasher.ts";
import type { RowPart } from "./exact/block-layout.ts";
import { abortable } from "../foundation/abortable.ts";
import type { InputThread } from "./input/input-thread.ts";
import type { InputSettings } from "./input/input-messages.ts";
import { runSelfTest } from "./self-test.ts";
import type { StepPhase } from "./step-course.ts";

/** What starts the parts of a job. */
export interface JobStarters {
  /** Starts the engine's thread. @param threads that TensorFlow may use; 0 leaves it to TensorFlow */
  startEngine(threads: number): Promise<Engine>;
  startInput(settings: InputSettings): Promise<InputThread>;
  readonly device: Device;
  /** Folder of recorded programs, or null for none. */
  readonly cacheFolder: string | null;
}

/** A job that is ready to train, evaluate or predict. */
export interface PreparedJob {
  readonly engine: Engine;
  readonly input: InputThread;
  readonly table: ParameterTable;
  readonly phases: readonly StepPhase[];
  /** Elements of the parts of the vector that a step reduces. */
  readonly reductionParts: readonly number[];
  /** Parts that are exchanged by rows. */
  readonly rowParts: readonly RowPart[];
  readonly training: boolean;
  readonly microbatchSize: number;
  readonly evalMicrobatchSize: number;
  /** Microbatches of a full global batch. */
  readonly microbatchesPerStep: number;
  /** Format in which gradients are exchanged. */
  readonly wire: WireForm;
  readonly seed: bigint;
  /** Buckets in which gradients are exchanged; null for as many as pay. */
  readonly gradientBuckets: number | null;
  /** 1 where moments are shared out over the ring. */
  readonly zeroStage: 0 | 1;
}

/** A prepared job, and what is reported of it. */
export interface Preparation {
  readonly job: PreparedJob;
  readonly prepared: Prepared;
}

/**
 * Prepares a job. Rejects with BadInput for a model or tokenizer that cannot be used, or with the signal's reason; what is
 * ready later than that is closed.
 */
export async function prepareJob(
  prepare: Prepare,
  starters: JobStarters,
  signal: AbortSignal,
): Promise<Preparation> {
  const making = makeJob(prepare, starters, signal);
  try {
    return await abortable(making, signal);
  } catch (error) {
    making.then(({ job }) => closeJob(job)).catch(() => undefined);
    throw error;
  }
}

async function makeJob(
  prepare: Prepare,
  starters: JobStarters,
  signal: AbortSignal,
): Promise<Preparation> {
  const { bf16, forceBf16, fp16, forceFp16 } = prepare;
  const wish = { bf16, forceBf16, fp16, forceFp16, device: starters.device };
  refuseSlowPrecision(wish, processorFeatures());
  const table = parseTable(prepare.tableJson);
  const [input, made] = await bothOrNeither(
    starters.startInput(inputSettingsOf(prepare, starters)),
    startProgrammedEngine(prepare, starters),
  );
  const { engine, outcome } = made;
  const { tableVersion, prepareMs, fromCache, phases, reductionParts, rowParts } = outcome;
  const { training, microbatchSize, evalMicrobatchSize, microbatchesPerStep } = prepare;
  const job = {
    engine,
    input,
    table,
    phases: stepPhases(phases),
    reductionParts,
    rowParts,
    training,
    microbatchSize,
    evalMicrobatchSize,
    microbatchesPerStep,
    wire: wireFormOf(prepare.gradientWire || "int32"),
    seed: prepare.seed,
    gradientBuckets: prepare.gradientBuckets || null,
    zeroStage: zeroStageOf(prepare),
  };
  const selfTest = prepare.selfTest
    ? await runSelfTest(prepare, job, new TensorHasher(), signal).catch(async (error: unknown) => {
        await closeJob(job);
        throw error;
      })
    : null;
  const known = { tableVersion, prepareMs, fromCache };
  const prepared = create(PreparedSchema, selfTest === null ? known : { ...known, selfTest });
  return { job, prepared };
}

function zeroStageOf({ zeroStage }: Prepare): 0 | 1 {
  return zeroStage === 1 ? 1 : 0;
}

/** Ends both threads. */
export async function closeJob(job: Closing): Promise<void> {
  await Promise.all([job.input.close(), job.engine.close()]);
}

interface Closing {
  readonly input: { close(): Promise<void> };
  readonly engine: { close(): Promise<void> };
}

/** Whether sequences lie without padding: kernels of ours are needed, which only recorded programs have, on devices that have any. */
function isPacked({ eager, packed }: Prepare, { device }: Pick<JobStarters, "device">): boolean {
  return packed && traitsOf(device).hasKernels && !eager;
}

function inputSettingsOf(prepare: Prepare, starters: Pick<JobStarters, "device">): InputSettings {
  return {
    family: prepare.modelFamily,
    configJson: prepare.modelConfigJson,
    tokenizerFiles: new Map(Object.entries(prepare.tokenizerFiles)),
    bucketLengths: prepare.bucketLengths,
    packed: isPacked(prepare, starters),
    maxLength: prepare.maxLength,
  };
}

async function startProgrammedEngine(prepare: Prepare, starters: JobStarters) {
  const engine = await starters.startEngine(prepare.threads);
  try {
    const { beta1, beta2, epsilon, weightDecay, maxGradNorm } =
      prepare.optimizer ?? create(OptimizerSettingsSchema);
    const outcome = await engine.prepare({
      family: prepare.modelFamily,
      configJson: prepare.modelConfigJson,
      tableJson: prepare.tableJson,
      optimizer: { beta1, beta2, epsilon, weightDecay, maxGradNorm },
      microbatchSize: prepare.microbatchSize,
      evalMicrobatchSize: prepare.evalMicrobatchSize,
      packed: isPacked(prepare, starters),
      bucketLengths: prepare.bucketLengths,
      maxLength: prepare.maxLength,
      labelSmoothing: prepare.labelSmoothing,
      convolutionTable: prepare.convolutionTable || newestConvolutionTable,
      seed: prepare.seed,
      training: prepare.training,
      eager: prepare.eager,
      precision: precisionOf(prepare),
      gradientCheckpointing: prepare.gradientCheckpointing,
      microbatchesPerStep: prepare.microbatchesPerStep,
      zeroStage: zeroStageOf(prepare),
      cacheFolder: starters.cacheFolder,
    });
    return { engine, outcome };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** Waits for both; when one fails, closes what the other has made. */
async function bothOrNeither<Left extends { close(): Promise<void> }, Right>(
  left: Promise<Left>,
  right: Promise<Right & { readonly engine: { close(): Promise<void> } }>,
) {
  const [first, second] = await Promise.allSettled([left, right]);
  if (first.status === "fulfilled" && second.status === "fulfilled") {
    return [first.value, second.value] as const;
  }
  if (first.status === "fulfilled") await first.value.close();
  if (second.status === "fulfilled") await second.value.engine.close();
  for (const settled of [first, second]) {
    if (settled.status === "rejected") throw settled.reason;
  }
  throw new Error("Cannot prepare the job");
}

/** What each gather phase gives: the arrays that later phases are fed and no earlier phase gave. */
export function stepPhases(phases: readonly PhaseInfo[]): readonly StepPhase[] {
  const given = new Set<string>();
  return phases.map(({ name, collective }, index) => {
    if (collective === "sum") return { name, collective, gives: [] };
    const wanted = new Map(
      phases
        .slice(index + 1)
        .flatMap((later) => later.gathered)
        .filter((spec) => !given.has(spec.name))
        .map((spec) => [spec.name, spec]),
    );
    for (const wantedName of wanted.keys()) given.add(wantedName);
    return { name, collective, gives: [...wanted.values()] };
  });
}
