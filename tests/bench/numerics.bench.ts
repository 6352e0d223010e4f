/**
 * `npm run bench:numerics -- --data FOLDER [--microbatches 4]`: how far sums of real gradients are from their sum in float64:
 * block fixed-point in our wire formats and in 32 bits with other block sizes, a float32 ring, and PyTorch's gloo. The gradients
 * are those of MiniLM's first microbatches of MRPC, 8 pairs of up to 128 tokens each, and of ResNet-18 on 32 made-up images each.
 * FOLDER holds msr_paraphrase_train.txt. Small gradients are looked at apart, and elements that fixed-point rounds to zero are
 * counted. `--envelope-steps 40`: trains so many steps of MRPC, and counts how often exponents from past steps would not do.
 * `--short`: tiny models.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { exactWires, wireForms, type WireForm } from "../../foundation/gradient-wire.ts";
import { layOutBlocks } from "../../worker/exact/block-layout.ts";
import { ExactSum } from "../../worker/exact/exact-sum.ts";
import { roundingKey } from "../../worker/exact/rounding-key.ts";
import { sumFloats } from "../../worker/ring/accumulate.ts";
import { collectivesOver } from "../../worker/ring/collectives.ts";
import { createMemoryRing } from "../../worker/ring/memory-link.ts";
import { exactRingOver } from "../support/exact-ring.ts";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { envelopeTable, measureEnvelopes } from "./support/envelope-cost.ts";
import { mrpcGradients } from "./support/mrpc-gradients.ts";
import type { RealGradients } from "./support/real-gradients.ts";
import { resnetGradients } from "./support/resnet-gradients.ts";
import { benchFolder } from "./support/leftovers.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { findMrpc } from "./support/mrpc-files.ts";
import { startPeerRanks } from "./support/peer-ranks.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress, type ReportTable } from "./support/report.ts";

const never = new AbortController().signal;
/** Below this share of a block's largest an element may be rounded to zero. */
const smallest = 2 ** -20;

/** A way to add up, and what came of it. */
interface Sum {
  readonly name: string;
  readonly vector: Float32Array;
}

async function exactly(
  { microbatches, partSizes, rowParts, wideFrom }: RealGradients,
  form: WireForm,
): Promise<Float32Array> {
  const wholeRows = rowParts.map(({ part, rows }) => ({ part, rows, capacity: rows }));
  const sum = new ExactSum(partSizes, microbatches.length, wholeRows, { form, wideFrom });
  const [link] = createMemoryRing(1);
  if (link === undefined) throw new Error("Cannot make a ring of one");
  const ring = exactRingOver({ rank: 0, rankCount: 1, link, collective: 0 });
  sum.begin();
  for (const [first, end] of sum.groups(microbatches.length)) {
    for (const [slot, vector] of microbatches.slice(first, end).entries()) {
      sum.slot(slot).set(vector);
      sum.roundBy(slot, roundingKey(42n, 1, first + slot));
    }
    await sum.addGroup(end - first, end - first, ring, never);
  }
  return sum.vector.slice();
}

async function inFloatRing(microbatches: readonly Float32Array[]): Promise<Float32Array> {
  const vectors = microbatches.map((vector) => vector.slice());
  const links = createMemoryRing(vectors.length);
  await Promise.all(
    links.map(async (link, rank) => {
      const place = { rank, rankCount: links.length, link, collective: 0 };
      await collectivesOver(place).allReduce(vectors[rank]!, sumFloats, never);
    }),
  );
  return vectors[0]!;
}

async function byGloo(microbatches: readonly Float32Array[], folder: string) {
  const file = join(folder, "gradient");
  for (const [rank, vector] of microbatches.entries()) {
    writeFileSync(`${file}.${rank}`, new Uint8Array(vector.slice().buffer));
  }
  const hello = z.object({ torch: z.string() });
  const ranks = await startPeerRanks("gloo_sum.py", [file], hello, {
    worldSize: microbatches.length,
  });
  await ranks.close();
  const vector = new Float32Array(new Uint8Array(readFileSync(`${file}.sum`)).buffer);
  return { vector, torch: ranks.hello.torch };
}

/** ‖sum − truth‖ ÷ ‖truth‖ over some stretches. */
function relativeError(
  sum: Float32Array,
  truth: Float64Array,
  stretches: readonly (readonly [number, number])[],
): number {
  let error = 0;
  let size = 0;
  for (const [first, end] of stretches) {
    for (let i = first; i < end; i++) {
      error += ((sum[i] ?? 0) - (truth[i] ?? 0)) ** 2;
      size += (truth[i] ?? 0) ** 2;
    }
  }
  return Math.sqrt(error / size);
}

/** Elements of at least 2⁻²⁰ of their block's largest that are zero in the sum and not in truth. */
function lostIn(sum: Float32Array, truth: Float64Array, bounds: Uint32Array): number {
  let lost = 0;
  for (let block = 0; block + 1 < bounds.length; block++) {
    const [first, end] = [bounds[block]!, bounds[block + 1]!];
    let largest = 0;
    for (let i = first; i < end; i++) largest = Math.max(largest, Math.abs(truth[i]!));
    for (let i = first; i < end; i++) {
      if (sum[i] === 0 && truth[i] !== 0 && Math.abs(truth[i]!) >= largest * smallest) lost++;
    }
  }
  return lost;
}

interface Row {
  readonly model: string;
  readonly name: string;
  /** By group of tensors. */
  readonly errors: Readonly<Record<string, number>>;
  /** Elements that became zero; null where nothing is rounded to integers. */
  readonly lost: number | null;
}

const forms: readonly (readonly [string, WireForm])[] = [
  ...[128, 256, 4096, 65_536].map((blockElements) => {
    const form = { ...wireForms.int32, blockElements };
    return [`int32, blocks of ${blockElements}`, form] as const;
  }),
  ...exactWires.map(
    (wire) => [`${wire} (${wireForms[wire].blockElements})`, wireForms[wire]] as const,
  ),
];

/** Adds the gradients of one model up in all ways. @param byPeer gloo's way, or null */
async function compare(
  model: string,
  real: RealGradients,
  byPeer: ((microbatches: readonly Float32Array[]) => Promise<Float32Array>) | null,
): Promise<readonly Row[]> {
  const { microbatches, groups, partSizes, rowParts } = real;
  const truth = new Float64Array(microbatches[0]?.length ?? 0);
  for (const vector of microbatches) for (const [i, value] of vector.entries()) truth[i]! += value;
  const sums: Sum[] = [{ name: "float32 ring", vector: await inFloatRing(microbatches) }];
  if (byPeer !== null) sums.push({ name: "gloo", vector: await byPeer(microbatches) });
  const rowOf = ({ name, vector }: Sum, lost: number | null): Row => {
    tellProgress(`${model}: ${name}`);
    const errors = groups.map(
      (group) => [group.name, relativeError(vector, truth, group.stretches)] as const,
    );
    return { model, name, errors: Object.fromEntries(errors), lost };
  };
  const rows = sums.map((sum) => rowOf(sum, null));
  for (const [name, form] of forms) {
    const vector = await exactly(real, form);
    const { bounds } = layOutBlocks(partSizes, rowParts, form);
    rows.push(rowOf({ name, vector }, lostIn(vector, truth, bounds)));
  }
  return rows;
}

function tableOf(
  { groups, microbatches }: RealGradients,
  model: string,
  results: readonly Row[],
): ReportTable {
  return {
    title: `${model}: error of sums of ${microbatches.length} microbatches' gradients beside float64, relative L2; elements of at least 2⁻²⁰ of their block's largest that became zero`,
    rows: [
      ["sum", ...groups.map(({ name, elements }) => `${name} (${elements})`), "rounded to zero"],
      ...results.map(({ name, errors, lost }) => [
        name,
        ...groups.map((group) => (errors[group.name] ?? Number.NaN).toExponential(1)),
        lost === null ? "–" : String(lost),
      ]),
    ],
  };
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    data: "",
    microbatches: 4,
    "envelope-steps": 0,
    short: false,
    "no-peer": false,
  });
  const { short, microbatches } = flags;
  const steps = flags["envelope-steps"];
  const { train } = findMrpc(flags.data);
  const folder = benchFolder("numerics");
  let torch: string | null = null;
  const peer = async (vectors: readonly Float32Array[]): Promise<Float32Array> => {
    const gloo = await byGloo(vectors, folder);
    torch = gloo.torch;
    return gloo.vector;
  };
  try {
    const tiny = join(folder, "tiny");
    if (short) await writeRandomBert(tiny, bertShapes["tiny"]!, 0.1);
    const maxLength = short ? bertShapes["tiny"]!.positions : 128;
    const bert = { microbatches, rows: 8, maxLength };
    const models: readonly (readonly [string, () => Promise<RealGradients>])[] = [
      ["BERT", async () => await mrpcGradients(short ? tiny : await ensureMiniLm(), train, bert)],
      [
        "ResNet",
        () =>
          resnetGradients({
            microbatches,
            rows: short ? 4 : 32,
            hiddenSizes: short ? [8, 16] : [64, 128, 256, 512],
            imageSize: short ? 8 : 32,
          }),
      ],
    ];
    const tables: ReportTable[] = [];
    const results: Row[] = [];
    for (const [model, compute] of models) {
      const real = await compute();
      const rows = await compare(model, real, flags["no-peer"] ? null : peer);
      tables.push(tableOf(real, model, rows));
      results.push(...rows);
    }
    const modelFolder = short ? tiny : await ensureMiniLm();
    const envelopes =
      steps === 0 ? null : await measureEnvelopes(modelFolder, train, { ...bert, steps });
    if (envelopes !== null) tables.push(envelopeTable(envelopes));
    const versions = torch === null ? null : { torch };
    printReport("numerics", tables, { versions, results, envelopes });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
