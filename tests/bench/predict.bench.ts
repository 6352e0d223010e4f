/**
 * `npm run bench:predict -- --data FOLDER [--lines 10000 --rounds 7 --kinds pipeline,sorted]`: sentences/s of `coordinator predict`, MiniLM, real
 * sentences of MRPC, beside the floor that the sentences' own tokens set, transformers' pipeline at its best batch size and a loop over length-sorted batches with
 * torch.compile, in turn. Ours is the whole command with files read and written; the peer's clock runs from lines in
 * memory to labels in memory, at its fastest thread count, allocator settings and batch size. A second column leaves our start out too: (lines − few) ÷ (time − time of few lines).
 * FOLDER holds msr_paraphrase_{train,test}.txt. `--short`: a tiny model, few lines, to try the harness; `--no-peer`.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { predictLabels, runCoordinator } from "./support/coordinator.ts";
import { forwardFlops, forwardProducts, type Product } from "./support/floor.ts";
import { meanBatch, openFloorModel } from "./support/floor-model.ts";
import { floorLine, floorOf, shareOf, shareText, type FloorShare } from "./support/floor-share.ts";
import { benchFolder } from "./support/leftovers.ts";
import { MatmulRates, type BestRate } from "./support/matmul-rates.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { findMrpc, sentencePairs, type MrpcFiles } from "./support/mrpc-files.ts";
import { describeWay } from "./support/peer-way.ts";
import {
  choosePredictPeers,
  predictKinds,
  type PredictPeer,
  type PredictPeers,
} from "./support/predict-peers.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import {
  formatSpread,
  howRatios,
  ratioOfMedians,
  spreadOf,
  type Spread,
} from "./support/statistics.ts";

const few = 64;
/** Sentences that `coordinator predict` computes at a time, by default. */
const ownBatch = 32;

/** Both sentences of every pair, as JSONL. */
function writeSentences(files: MrpcFiles, to: string, count: number): readonly string[] {
  const sentences = [files.train, files.test].flatMap(sentencePairs).flat().slice(0, count);
  const lines = sentences.map((text) => JSON.stringify({ text }));
  writeFileSync(to, `${lines.join("\n")}\n`);
  return sentences;
}

/** A model with a head: one step of training makes it. */
async function makeModel(folder: string): Promise<string> {
  const output = join(folder, "model");
  const labelled = join(folder, "labelled.jsonl");
  writeFileSync(
    labelled,
    Array.from({ length: few }, (_, i) =>
      JSON.stringify({ text: `number ${i}`, label: i % 2 === 0 ? "a" : "b" }),
    ).join("\n"),
  );
  await runCoordinator(
    [
      ["--model", await ensureMiniLm(), "--train-file", labelled, "--output-dir", output],
      ["--max-steps", "1", "--max-length", "128", "--save-strategy", "no"],
    ].flat(),
  );
  return output;
}

async function timed(model: string, file: string, lines: number) {
  const started = performance.now();
  const labels = await predictLabels(model, file);
  const ms = performance.now() - started;
  if (labels.length !== lines) {
    throw new Error(`Cannot compare: ${labels.length} of ${lines} lines were labelled`);
  }
  return { ms, labels };
}

interface Measured {
  readonly rates: {
    readonly ours: number[];
    readonly oursWithoutStart: number[];
    readonly pipeline: number[];
    readonly sorted: number[];
  };
  /** Share of lines on which both sides agree. */
  agreement: number | null;
  /** Of matrix products. */
  matmul: BestRate;
}

/** Operations of labelling sentences, and the products whose rate is measured for them. */
async function countLabels(model: string, sentences: readonly string[]) {
  const { shape, tokensOf } = await openFloorModel(model);
  const lengths = tokensOf(sentences.map((text) => [text]));
  return {
    flops: forwardFlops(shape, lengths, "first-row"),
    products: forwardProducts(shape, meanBatch(lengths, ownBatch)),
  };
}

async function measure(
  places: { readonly model: string; readonly file: string; readonly fewFile: string },
  lines: number,
  asked: {
    readonly peers: readonly PredictPeer[];
    readonly rounds: number;
    readonly products: readonly Product[];
  },
): Promise<Measured> {
  const { model, file, fewFile } = places;
  const { peers, rounds, products } = asked;
  const measured: Measured = {
    rates: { ours: [], oursWithoutStart: [], pipeline: [], sorted: [] },
    agreement: null,
    matmul: { gflops: 0, where: "" },
  };
  const { rates } = measured;
  // Programs are recorded once.
  await timed(model, file, lines);
  const matmul = await MatmulRates.start(products, "fp32", peers.length > 0);
  try {
    for (let round = 0; round < rounds; round++) {
      await matmul.round();
      const start = await timed(model, fewFile, few);
      const whole = await timed(model, file, lines);
      rates.ours.push((1000 * lines) / whole.ms);
      rates.oursWithoutStart.push((1000 * (lines - few)) / (whole.ms - start.ms));
      for (const { kind, label } of peers) {
        const answer = await label(lines);
        rates[kind].push((1000 * lines) / answer.ms);
        const equal = answer.labels.filter((label, i) => label === whole.labels[i]).length;
        measured.agreement = Math.min(measured.agreement ?? 1, equal / lines);
      }
      tellProgress(`round ${round + 1} of ${rounds}`);
    }
    measured.matmul = matmul.best;
  } finally {
    await matmul.close();
  }
  return measured;
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    data: "",
    lines: 10_000,
    rounds: 7,
    kinds: ["pipeline", "sorted"],
    short: false,
    "no-peer": false,
  });
  const files = findMrpc(flags.data);
  const folder = benchFolder("predict");
  const { rounds } = flags;
  const kinds = predictKinds.filter((kind) => !flags["no-peer"] && flags.kinds.includes(kind));
  let chosen: PredictPeers | null = null;
  try {
    const file = join(folder, "lines.jsonl");
    const fewFile = join(folder, "few.jsonl");
    const sentences = writeSentences(files, file, flags.short ? 2 * few : flags.lines);
    const lines = sentences.length;
    writeSentences(files, fewFile, few);
    const tiny = join(folder, "tiny");
    if (flags.short) await writeRandomBert(tiny, bertShapes["tiny"]!, 0.1);
    const model = flags.short ? tiny : await makeModel(folder);
    if (kinds.length > 0) chosen = await choosePredictPeers({ model, file, lines }, kinds);
    const peers = chosen?.peers ?? [];
    const places = { model, file, fewFile };
    const { flops, products } = await countLabels(model, sentences);
    const asked = { peers, rounds, products };
    const { rates, agreement, matmul } = await measure(places, lines, asked);
    const floor = floorOf(flops, matmul);
    const beside = ({ median: perSecond }: Spread): FloorShare | null =>
      shareOf(floor, lines / perSecond);
    const result = peers.map(({ kind, batch, way }) => ({
      kind,
      batch,
      way,
      perSecond: spreadOf(rates[kind]),
      ratio: ratioOfMedians(rates.ours, rates[kind]),
      ratioWithoutStart: ratioOfMedians(rates.oursWithoutStart, rates[kind]),
    }));
    const ours = {
      perSecond: spreadOf(rates.ours),
      withoutStart: spreadOf(rates.oursWithoutStart),
    };
    const floors = {
      floor: beside(ours.perSecond),
      floorWithoutStart: beside(ours.withoutStart),
    };
    const names = { pipeline: "pipeline", sorted: "sorted by length, torch.compile" };
    const rows = [
      ["", "sentences/s", "ours ÷ it", "our start left out", "share of the floor", "fastest with"],
      [
        "coordinator predict, whole command",
        formatSpread(ours.perSecond),
        "–",
        "–",
        shareText(floors.floor),
      ],
      [
        "coordinator predict, start left out",
        formatSpread(ours.withoutStart),
        "–",
        "–",
        shareText(floors.floorWithoutStart),
      ],
      ...result.map((r) => [
        `${names[r.kind]}, batch ${r.batch}`,
        formatSpread(r.perSecond),
        formatSpread(r.ratio, 2),
        formatSpread(r.ratioWithoutStart, 2),
        "–",
        describeWay({ ...r.way, compile: false }),
      ]),
    ];
    const title = `labels of ${lines} sentences, ${flags.short ? "tiny model" : "MiniLM"}, fp32, ${rounds} rounds in turn: ${howRatios}`;
    const versions = chosen?.versions ?? null;
    const below = [floorLine(`${lines} labels`, floor)];
    const sums = { ...floors, ours, results: result, agreement };
    printReport("predict", [{ title, rows, below }], { versions, rounds, lines, ...sums });
  } finally {
    await chosen?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
