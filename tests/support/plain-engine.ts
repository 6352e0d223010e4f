/**
 * An engine in plain arithmetic, for tests of everything around the engine: linear regression y = w·x + b on three
 * features, squared error, gradient descent. Its reduction vector has the real layout [gradients | loss | weight].
 */
import type { Engine } from "../../worker/engine/engine.ts";
import { markAllWritten } from "../../worker/engine/write-marks.ts";
import type { Batch, InputSpec } from "../../worker/model/model.ts";
import { shareLength, wholeShare, type Share } from "../../foundation/parameters/shares.ts";
import { layOutTable, type TensorSpec } from "../../foundation/parameters/table.ts";
import type { SampleRecord } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { CollationLog } from "../../worker/input/collation-log.ts";
import type { InputThread } from "../../worker/input/input-thread.ts";

export const featureCount = 3;

export const plainSpecs: readonly TensorSpec[] = [
  { name: "weight", shape: [featureCount], kind: "parameter", decay: true },
  { name: "bias", shape: [], kind: "parameter", decay: false },
];

export const plainTable = layOutTable(plainSpecs);

/** Collates float features out of `values`, targets out of `target`. */
export const plainInput: InputThread = {
  log: new CollationLog(),
  collate: (samples, microbatchSize) => Promise.resolve(collatePlain(samples, microbatchSize)),
  close: () => Promise.resolve(),
};

function collatePlain(samples: readonly SampleRecord[], microbatchSize: number): Batch {
  const features = new Float32Array(microbatchSize * featureCount);
  const targets = new Float32Array(microbatchSize);
  const weights = new Float32Array(microbatchSize);
  for (const [row, { values, target }] of samples.entries()) {
    const floats = new Float32Array(Uint8Array.from(values).buffer);
    features.set(floats, row * featureCount);
    targets[row] = target ?? 0;
    weights[row] = 1;
  }
  const rows = samples.length;
  return {
    shapeKey: "plain",
    arrays: { features, targets, weights },
    samples: rows,
    tokens: rows,
    paddedTokens: microbatchSize,
    truncated: 0,
  };
}

/** Features as a SampleRecord carries them. */
export function plainValues(features: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(features).buffer);
}

const length = featureCount + 1;

/** What a test may look at. */
export interface PlainEngine extends Engine {
  readonly parameters: Float32Array;
}

/** Makes one. @param withGather puts a gather phase before the sum: each row's prediction, added to the others' loss */
export function createPlainEngine(options: { readonly withGather?: boolean } = {}): PlainEngine {
  const parameters = new Float32Array(new SharedArrayBuffer(length * 4));
  let reduced: Float32Array = new Float32Array(length + 2);
  let appliedStep = 0;
  let share: Share = wholeShare(length);
  let rowsPerStep = 0;
  const predict = (batch: Batch, row: number): number => {
    let sum = parameters[featureCount]!;
    for (let i = 0; i < featureCount; i++) {
      sum += parameters[i]! * batch.arrays["features"]![row * featureCount + i]!;
    }
    return sum;
  };
  const accumulate = (reduction: Float32Array, batch: Batch, shift: number): void => {
    reduction.fill(0);
    const weights = batch.arrays["weights"]!;
    for (let row = 0; row < weights.length; row++) {
      if (weights[row] === 0) continue;
      const error = predict(batch, row) + shift - batch.arrays["targets"]![row]!;
      for (let i = 0; i < featureCount; i++) {
        reduction[i]! += error * batch.arrays["features"]![row * featureCount + i]!;
      }
      reduction[featureCount]! += error;
      reduction[length]! += 0.5 * error * error;
      reduction[length + 1]! += 1;
    }
  };
  return {
    parameters,
    prepare(settings) {
      rowsPerStep = settings.microbatchSize * settings.microbatchesPerStep;
      const sum = { name: "loss", collective: "sum" as const };
      const predictions: InputSpec = {
        name: "predictions",
        shape: [rowsPerStep],
        dtype: "float32",
      };
      return Promise.resolve({
        tableVersion: plainTable.version,
        prepareMs: 1,
        fromCache: false,
        reductionSize: length + 2,
        reductionParts: [featureCount, 1, 1, 1],
        rowParts: [],
        phases:
          options.withGather === true
            ? [
                { name: "predict", collective: "gather" as const, gathered: [] },
                { ...sum, gathered: [predictions] },
              ]
            : [{ ...sum, gathered: [] }],
      });
    },
    loadState(state) {
      parameters.set(state.parameters);
      share = state.share ?? share;
      appliedStep = state.step;
      return Promise.resolve();
    },
    giveBack: () => Promise.resolve(),
    readState(withOptimizer, run) {
      if (run !== undefined) markAllWritten(run);
      const size = shareLength(share);
      const moments = withOptimizer
        ? { firstMoment: new Float32Array(size), secondMoment: new Float32Array(size), share }
        : {};
      return Promise.resolve({ parameters: parameters.slice(), ...moments, step: appliedStep });
    },
    runPhase(phase, batch, _at, { gathered, into }) {
      if (options.withGather === true && phase === 0) {
        const rows = batch.arrays["weights"]!.length;
        const predictions = Float32Array.from({ length: rows }, (_, row) =>
          batch.arrays["weights"]![row] === 0 ? 0 : predict(batch, row),
        );
        return Promise.resolve({ gathered: { predictions } });
      }
      // Position matters: the gathered array must be the same on every rank, in microbatch order.
      const all = gathered["predictions"] ?? new Float32Array(0);
      const shift = all.reduce((sum, value, place) => sum + value * (place + 1), 0) / 1000;
      accumulate(into, batch, shift);
      return Promise.resolve({});
    },
    norm(vector) {
      reduced = vector;
      const weight = reduced[length + 1]!;
      let squares = 0;
      for (let i = 0; i < length; i++) squares += (reduced[i]! / weight) ** 2;
      return Promise.resolve({
        gradNorm: Math.sqrt(squares),
        lossSum: reduced[length]!,
        weight,
      });
    },
    update({ step, learningRate }) {
      const weight = reduced[length + 1]!;
      for (let i = 0; i < length; i++) parameters[i]! -= (learningRate * reduced[i]!) / weight;
      appliedStep = step;
      return Promise.resolve({ updateMs: 0.5 });
    },
    skip(step) {
      appliedStep = step;
      return Promise.resolve();
    },
    updateShare({ step, learningRate }) {
      const weight = reduced[length + 1]!;
      for (const { start, end } of share) {
        for (let i = start; i < end; i++)
          reduced[i] = Math.fround(parameters[i]! - (learningRate * reduced[i]!) / weight);
      }
      appliedStep = step;
      return Promise.resolve({ updateMs: 0.5 });
    },
    takeWeights() {
      parameters.set(reduced.subarray(0, length));
      return Promise.resolve();
    },
    evaluate(batch) {
      const rows = batch.arrays["weights"]!.length;
      const logits = Float32Array.from({ length: rows }, (_, row) => predict(batch, row));
      let lossSum = 0;
      for (let row = 0; row < batch.samples; row++) {
        lossSum += 0.5 * (logits[row]! - batch.arrays["targets"]![row]!) ** 2;
      }
      return Promise.resolve({ logits, columns: 1, lossSum, weight: batch.samples });
    },
    startProfile: () => Promise.resolve(),
    takeProfile: () => Promise.resolve({ spans: [], leftOut: 0, peakFlops: 0 }),
    replacePrograms: () => Promise.reject(new Error("Cannot replace plain arithmetic")),
    close: () => Promise.resolve(),
  };
}
