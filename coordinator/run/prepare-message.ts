/** What a job means to a worker, as the Prepare directive says it. Pure. */
import { create } from "@bufbuild/protobuf";
import { BadInput } from "../../foundation/bad-input.ts";
import { packsSequences } from "../../foundation/job/packs-sequences.ts";
import type { JobSettings } from "../../foundation/job/settings.ts";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import type { PrecisionWish } from "../../foundation/precision.ts";
import { serializeTable } from "../../foundation/parameters/table.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { OptimizerSettingsSchema, PrepareSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Prepare } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { blindBuckets } from "./bucket-lengths.ts";

/** The longest sequence that is computed, in tokens. Throws BadInput for one beyond the model's position table. */
export function maxLengthOf(
  maxLength: number | null,
  model: Pick<LoadedModel, "maxPositions">,
): number {
  const { maxPositions } = model;
  if (maxLength !== null && maxPositions > 0 && maxLength > maxPositions) {
    throw new BadInput({
      flag: "--max-length",
      expected: `at most ${maxPositions}, the positions that the model has`,
      found: String(maxLength),
    });
  }
  return maxLength ?? maxPositions;
}

/** The directive of a training run. @param threads of a worker's TensorFlow; null leaves it to TensorFlow */
export function trainingPrepare(
  settings: JobSettings,
  model: LoadedModel,
  table: ParameterTable,
  threads: number | null,
): Prepare {
  const maxLength = maxLengthOf(settings.maxLength, model);
  return create(PrepareSchema, {
    modelFamily: model.family,
    modelConfigJson: model.configJson,
    tokenizerFiles: Object.fromEntries(model.tokenizerFiles),
    training: true,
    optimizer: create(OptimizerSettingsSchema, {
      beta1: settings.adamBeta1,
      beta2: settings.adamBeta2,
      epsilon: settings.adamEpsilon,
      weightDecay: settings.weightDecay,
      maxGradNorm: settings.maxGradNorm,
    }),
    microbatchSize: settings.perDeviceTrainBatchSize,
    evalMicrobatchSize: settings.perDeviceEvalBatchSize,
    maxLength,
    bucketLengths: [
      ...(settings.bucketLengths.length > 0 ? settings.bucketLengths : blindBuckets(maxLength)),
    ],
    seed: BigInt(settings.seed),
    freeze: [...settings.freeze],
    labelSmoothing: settings.labelSmoothingFactor,
    packed: packsSequences(settings),
    convolutionTable: settings.convolutionTable,
    eager: settings.eager,
    bf16: settings.bf16,
    gradientCheckpointing: settings.gradientCheckpointing,
    forceBf16: settings.forceBf16,
    fp16: settings.fp16,
    forceFp16: settings.forceFp16,
    gradientWire: settings.gradientWire,
    gradientBuckets: settings.gradientBuckets ?? 0,
    zeroStage: settings.zeroStage,
    threads: threads ?? 0,
    tableJson: serializeTable(table),
    microbatchesPerStep: settings.trainBatchSize / settings.perDeviceTrainBatchSize,
  });
}

/** The directive of a prediction: forward only. */
export function predictionPrepare(
  options: {
    readonly model: LoadedModel;
    readonly microbatchSize: number;
    readonly maxLength: number | null;
    readonly precision: PrecisionWish;
  },
  table: ParameterTable,
  threads: number | null,
): Prepare {
  const { model, microbatchSize, precision } = options;
  const maxLength = maxLengthOf(options.maxLength, model);
  return create(PrepareSchema, {
    modelFamily: model.family,
    modelConfigJson: model.configJson,
    tokenizerFiles: Object.fromEntries(model.tokenizerFiles),
    training: false,
    ...precision,
    microbatchSize,
    evalMicrobatchSize: microbatchSize,
    maxLength,
    bucketLengths: [...blindBuckets(maxLength)],
    packed: true,
    threads: threads ?? 0,
    tableJson: serializeTable(table),
    microbatchesPerStep: 1,
  });
}
