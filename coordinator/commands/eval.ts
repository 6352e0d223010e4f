/** `coordinator eval`: the metrics of a model on labelled files, or on a split of a hub dataset. */
import { BadInput } from "../../foundation/bad-input.ts";
import type { HubAccess } from "../../foundation/hub/hub.ts";
import type { DataSettings } from "../../foundation/job/settings.ts";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import { createMetricTally } from "../../foundation/metrics/metric-tally.ts";
import { guessTokens, type DataRecord, type Dataset } from "../data/dataset.ts";
import { openData, type OpenedData } from "../data/open-data.ts";
import { metricText } from "../live/format.ts";
import { ensureQuickstart } from "../quickstart/quickstart.ts";
import { say, type CommandContext } from "./command-context.ts";
import { flagValue } from "./compute-flags.ts";
import { closeData } from "./open-job.ts";
import { outputFormat } from "./output-format.ts";
import {
  findModel,
  openModel,
  predictions,
  queryOf,
  startCrew,
  type FoundModel,
  type Query,
} from "./query-model.ts";
import { statedLabels } from "./stated-labels.ts";
import { textTable } from "./text-table.ts";

type Flags = Readonly<Record<string, unknown>>;

const splits = ["validation", "test", "train"] as const;
type Split = (typeof splits)[number];

/** The files of the quick start's dataset, which is no hub dataset. */
async function withQuickstart(settings: DataSettings, hub: HubAccess): Promise<DataSettings> {
  if (settings.dataset !== "quickstart") return settings;
  const { trainFile, validationFile } = await ensureQuickstart(hub);
  return { ...settings, dataset: null, trainFiles: [trainFile], validationFiles: [validationFile] };
}

/** Records that are read at a time. */
const readRecords = 256;

function splitOf(flags: Flags): Split {
  const given = flags["split"] ?? "validation";
  const split = splits.find((name) => name === given);
  if (split !== undefined) return split;
  throw new BadInput({
    flag: "--split",
    expected: splits.join(", "),
    found: JSON.stringify(given),
  });
}

function dataSettings(files: readonly string[], flags: Flags): DataSettings {
  const dataset = flagValue(flags, "dataset", "dataset");
  if (files.length > 0 === (dataset !== null)) {
    throw new BadInput({
      expected: "labelled files, or --dataset",
      found: dataset === null ? "none" : "both",
    });
  }
  return {
    dataset,
    trainFiles: [],
    validationFiles: files,
    testFiles: [],
    textColumn: flagValue(flags, "textColumn", "text-column"),
    textPairColumn: flagValue(flags, "textPairColumn", "text-pair-column"),
    labelColumn: flagValue(flags, "labelColumn", "label-column"),
    validationSplit: 0,
  };
}

function datasetOf(data: OpenedData, split: Split): Dataset {
  const dataset = data[split];
  if (dataset !== null && dataset.labelled) return dataset;
  throw new BadInput({
    flag: "--split",
    expected: "a split with labels",
    found: dataset === null ? `no ${split} split` : `${split}, which has none`,
  });
}

/** A labelled dataset in its order; each record is remembered until what is said of it comes back. */
async function* recordsOf(
  dataset: Dataset,
  waiting: Map<number, DataRecord>,
  signal: AbortSignal,
): AsyncGenerator<readonly DataRecord[]> {
  for (let start = 0; start < dataset.size; start += readRecords) {
    const count = Math.min(readRecords, dataset.size - start);
    const indices = Array.from({ length: count }, (_, place) => start + place);
    const records = await dataset.read(indices, signal);
    for (const record of records) waiting.set(record.index, record);
    yield records;
  }
}

/** The metrics by name, `loss` first. */
async function evaluate(
  asked: {
    readonly found: FoundModel;
    readonly model: LoadedModel;
    readonly query: Query;
    readonly dataset: Dataset;
  },
  context: CommandContext,
): Promise<Readonly<Record<string, number>>> {
  const { found, model, query, dataset } = asked;
  const tally = createMetricTally(model.problemType, model.labels.length);
  const waiting = new Map<number, DataRecord>();
  const records = recordsOf(dataset, waiting, context.interrupts.finish);
  let lossSum = 0;
  let weight = 0;
  const crew = await startCrew(found, { ...query, tokens: guessTokens(dataset) }, context);
  try {
    for await (const predicted of predictions(crew, model, query, records)) {
      const { index, logits } = predicted;
      tally.add({ ...waiting.get(index), logits });
      waiting.delete(index);
      lossSum += predicted.lossSum;
      weight += predicted.weight;
    }
  } finally {
    await crew.close();
  }
  return { ...(weight === 0 ? {} : { loss: lossSum / weight }), ...tally.metrics() };
}

/** Evaluates. Resolves with the exit code. */
export async function runEval(
  operands: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<number> {
  const format = outputFormat(flags["format"]);
  const query = queryOf(flags, context.env["CUDA_VISIBLE_DEVICES"]);
  const split = splitOf(flags);
  const settings = dataSettings(operands, flags);
  const found = await findModel(flags, context);
  const model = await openModel(found, query);
  const { folder, hub } = found;
  const labels = (await statedLabels(folder)) ?? model.labels;
  const { cacheFolder, signal } = hub;
  const data = await openData(await withQuickstart(settings, hub), {
    labels,
    cacheFolder,
    hub,
    signal,
  });
  try {
    for (const note of data.notes) context.stderr.write(`note: ${note}\n`);
    const dataset = datasetOf(data, split);
    const metrics = await evaluate({ found, model, query, dataset }, context);
    if (format === "jsonl") {
      say(context, JSON.stringify({ samples: dataset.size, ...metrics }));
      return 0;
    }
    const rows = Object.entries(metrics).map(([name, value]) => [name, metricText(value)]);
    for (const line of textTable([["samples", String(dataset.size)], ...rows], new Set([1]))) {
      say(context, line);
    }
    return 0;
  } finally {
    await closeData(data);
  }
}
