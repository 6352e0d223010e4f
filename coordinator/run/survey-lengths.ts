/**
 * What is known of a job's sequence lengths before its first step: a small data set is tokenised whole, of a large one
 * some records, so that no pass over it is needed. A trial epoch over them tells the lengths that are worth compiling.
 */
import { packsSequences } from "../../foundation/job/packs-sequences.ts";
import type { JobSettings } from "../../foundation/job/settings.ts";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import {
  openTextTokenizer,
  type TextTokenizer,
} from "../../foundation/tokenizer/text-tokenizer.ts";
import type { DataRecord, Dataset } from "../data/dataset.ts";
import { permutation } from "../data/permutation.ts";
import { planEpoch } from "../data/sampler.ts";
import { chooseBuckets } from "./bucket-lengths.ts";

/** What a survey found. */
export interface LengthSurvey {
  /** The data set; a small one tells its samples' true lengths. */
  readonly train: Dataset;
  /** Lengths to compile, ascending; the last is the longest sequence. */
  readonly bucketLengths: readonly number[];
  /** Share of the computed tokens that will be padding, about. */
  readonly paddingShare: number;
}

/** What a survey is made with. */
export interface SurveyOptions {
  readonly settings: JobSettings;
  readonly model: Pick<LoadedModel, "tokenizerFiles" | "family">;
  readonly maxLength: number;
  readonly signal: AbortSignal;
}

/** Estimated tokens of a data set that is tokenised whole; a second's work. */
const wholeTokensMax = 250_000;
/** Records that stand for a larger one. */
const sampleRecordsMax = 1024;
const recordsAtOnce = 256;
/** Characters of one text that fill the longest sequence; English has about five a token. */
const charactersPerToken = 8;
/** The sample does not depend on the job's seed, so that all its runs compile the same lengths. */
const sampleKey = [0x1e9c7];

interface Sample {
  /** Places of the surveyed samples in the data set. */
  readonly indices: readonly number[];
  readonly isWhole: boolean;
}

/** Everything, where it is little; else some records, drawn evenly. */
function takeSample(train: Dataset, maxLength: number): Sample {
  const order = permutation(train.size, sampleKey);
  const indices: number[] = [];
  let tokens = 0;
  for (let place = 0; place < train.size; place++) {
    const index = order(place);
    tokens += Math.min(train.lengthOf(index), maxLength);
    indices.push(index);
    if (tokens <= wholeTokensMax) continue;
    return { indices: indices.slice(0, sampleRecordsMax), isWhole: false };
  }
  return { indices, isWhole: true };
}

async function tokensOf(
  indices: readonly number[],
  train: Dataset,
  tokenizer: TextTokenizer,
  { maxLength, signal }: SurveyOptions,
): Promise<readonly number[]> {
  const characters = charactersPerToken * maxLength;
  const lengthOf = ({ text, textPair }: DataRecord): number =>
    tokenizer.encode(text.slice(0, characters), textPair?.slice(0, characters), maxLength).ids
      .length;
  const lengths: number[] = [];
  for (let first = 0; first < indices.length; first += recordsAtOnce) {
    const records = await train.read(indices.slice(first, first + recordsAtOnce), signal);
    lengths.push(...records.map(lengthOf));
  }
  return lengths;
}

/** The data set with its samples' true lengths. */
function measured(train: Dataset, { indices }: Sample, lengths: readonly number[]): Dataset {
  const byIndex = new Uint32Array(train.size);
  for (const [place, index] of indices.entries()) byIndex[index] = lengths[place] ?? 0;
  return {
    size: train.size,
    labelled: train.labelled,
    lengthOf: (index) => byIndex[index] ?? 0,
    read: (wanted, signal) => train.read(wanted, signal),
    close: () => train.close(),
  };
}

/** Tokens of the longest sample of each microbatch of a trial epoch over the sample. */
function longestOf(
  lengths: readonly number[],
  guesses: readonly number[],
  settings: JobSettings,
): readonly number[] {
  const { trainBatchSize, perDeviceTrainBatchSize: microbatchSize, groupByLength } = settings;
  const plan = planEpoch({
    size: lengths.length,
    seed: 0,
    epoch: 0,
    trainBatchSize,
    microbatchSize,
    ...(groupByLength ? { lengthOf: (place: number) => guesses[place] ?? 0 } : {}),
  });
  const batches = Array.from({ length: plan.batchCount }, (_, batch) => plan.batch(batch));
  return batches
    .flat()
    .map((microbatch) => Math.max(...microbatch.map((place) => lengths[place] ?? 0)));
}

/** Surveys the training data of a model that reads text. Rejects with the signal's reason. */
export async function surveyLengths(train: Dataset, options: SurveyOptions): Promise<LengthSurvey> {
  const { settings, model, maxLength } = options;
  const source = { folder: "model", modelType: model.family };
  const tokenizer = openTextTokenizer(model.tokenizerFiles, source);
  const sample = takeSample(train, maxLength);
  const lengths = await tokensOf(sample.indices, train, tokenizer, options);
  const known = sample.isWhole ? measured(train, sample, lengths) : train;
  const guesses = sample.indices.map((index) => known.lengthOf(index));
  const longest = longestOf(lengths, guesses, settings);
  const bucketLengths = bucketsOf(longest, settings, maxLength);
  const computed = longest.reduce(
    (sum, tokens) => sum + (bucketLengths.find((length) => length >= tokens) ?? maxLength),
    0,
  );
  const real = lengths.reduce((sum, tokens) => sum + tokens, 0);
  const rows = settings.perDeviceTrainBatchSize;
  const paddingShare = packsSequences(settings) ? 0 : 1 - real / (computed * rows);
  return { train: known, bucketLengths, paddingShare };
}

function bucketsOf(
  longest: readonly number[],
  settings: JobSettings,
  maxLength: number,
): readonly number[] {
  const { padding, bucketLengths } = settings;
  if (padding === "max_length" || packsSequences(settings)) return [maxLength];
  return bucketLengths.length > 0 ? bucketLengths : chooseBuckets(longest, maxLength);
}
