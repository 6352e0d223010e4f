/** `coordinator predict`: label, score and logits of texts, of files, or of standard input. */
import { BadInput } from "../../foundation/bad-input.ts";
import type { DataRecord } from "../data/dataset.ts";
import { say, type CommandContext } from "./command-context.ts";
import { flagValue } from "./compute-flags.ts";
import { fileTexts, givenTexts, streamedTexts, type OpenedTexts } from "./open-texts.ts";
import { outputFormat, type OutputFormat } from "./output-format.ts";
import { predictionLine, predictionOf } from "./prediction.ts";
import {
  findModel,
  openModel,
  predictions,
  queryOf,
  startCrew,
  type FoundModel,
  type Query,
} from "./query-model.ts";

type Flags = Readonly<Record<string, unknown>>;

function filesOf(flags: Flags): readonly string[] {
  const files = flags["file"];
  return Array.isArray(files) ? files.map(String) : [];
}

/** The one source that was asked for. Throws BadInput for two, and for a terminal as standard input. */
async function openSource(
  operands: readonly string[],
  flags: Flags,
  context: CommandContext,
  cacheFolder: string,
): Promise<OpenedTexts> {
  const files = filesOf(flags);
  const pair = flags["text-pair"];
  if (operands.length > 0 && files.length > 0) {
    throw new BadInput({ flag: "--file", expected: "texts or files", found: "both" });
  }
  if (operands.length > 0 || pair !== undefined) {
    return givenTexts(operands, typeof pair === "string" ? pair : null);
  }
  const signal = context.interrupts.finish;
  if (files.length > 0) {
    const choice = {
      textColumn: flagValue(flags, "textColumn", "text-column"),
      textPairColumn: flagValue(flags, "textPairColumn", "text-pair-column"),
      labelColumn: null,
    };
    return fileTexts(files, { choice, cacheFolder, signal });
  }
  if (context.stdin.isTTY === true) {
    throw new BadInput({
      expected: "a text, --file FILE, or lines on standard input",
      found: "none",
      remedy: 'coordinator predict --model DIR "a text"',
    });
  }
  return streamedTexts(context.stdin, signal);
}

/** Remembers records until what is said of them comes back. */
async function* remembered(
  records: AsyncIterable<readonly DataRecord[]>,
  waiting: Map<number, DataRecord>,
): AsyncGenerator<readonly DataRecord[]> {
  for await (const batch of records) {
    for (const record of batch) waiting.set(record.index, record);
    yield batch;
  }
}

/** Predicts. Resolves with the exit code. */
export async function runPredict(
  operands: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<number> {
  const format = outputFormat(flags["format"]);
  const query = queryOf(flags, context.env["CUDA_VISIBLE_DEVICES"]);
  const found = await findModel(flags, context);
  const texts = await openSource(operands, flags, context, found.hub.cacheFolder);
  try {
    for (const note of texts.notes) context.stderr.write(`note: ${note}\n`);
    return await predictAll({ texts, found, query, format }, context);
  } finally {
    await texts.close();
  }
}

/** Writes what the model says of the texts. */
async function predictAll(
  asked: {
    readonly texts: OpenedTexts;
    readonly found: FoundModel;
    readonly query: Query;
    readonly format: OutputFormat;
  },
  context: CommandContext,
): Promise<number> {
  const { texts, found, query, format } = asked;
  // The workers start while the model is loaded here.
  const crew = await startCrew(found, { ...query, tokens: texts.tokens }, context);
  try {
    const model = await openModel(found, query);
    const labelWidth = Math.max(...model.labels.map((label) => label.length));
    const waiting = new Map<number, DataRecord>();
    const records = remembered(texts.records, waiting);
    for await (const { index, logits } of predictions(crew, model, query, records)) {
      const prediction = predictionOf(logits, model);
      const record = waiting.get(index);
      waiting.delete(index);
      if (format === "jsonl") say(context, JSON.stringify(prediction));
      else if (record !== undefined) say(context, predictionLine(prediction, record, labelWidth));
    }
    return 0;
  } finally {
    await crew.close();
  }
}
