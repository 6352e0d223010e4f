/**
 * `npm run bench:numerics -- --data FOLDER [--microbatches 4]`: how far sums of real gradients are from their sum in float64:
 * block fixed-point in our wire formats and in 32 bits with other block sizes, a float32 ring, and PyTorch's gloo. The gradients
 * are those of MiniLM's first microbatches of MRPC, 8 pairs of up to 128 tokens each. FOLDER holds msr_paraphrase_train.txt.
 * Small gradients are looked at apart, and elements that fixed-point rounds to zero are counted. `--short`: a tiny model.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { gradientWires, wireForms, type WireForm } from "../../foundation/gradient-wire.ts";
import { layOutBlocks } from "../../worker/exact/block-layout.ts";
import { ExactSum } from "../../worker/exact/exact-sum.ts";
import { roundingKey } from "../../worker/exact/rounding-key.ts";
import { sumFloats } from "../../worker/ring/accumulate.ts";
import { collectivesOver } from "../../worker/ring/collectives.ts";
import { createMemoryRing } from "../../worker/ring/memory-link.ts";
import { exactRingOver } from "../support/exact-ring.ts";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { mrpcGradients, type RealGradients } from "./support/mrpc-gradients.ts";
import { benchFolder } from "./support/leftovers.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { findMrpc } from "./support/mrpc-files.ts";
import { startPeerRanks } from "./support/peer-ranks.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";

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

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    data: "",
    microbatches: 4,
    short: false,
    "no-peer": false,
  });
  const { train } = findMrpc(flags.data);
  const folder = benchFolder("numerics");
  let torch: string | null = null;
  try {
    const tiny = join(folder, "tiny");
    if (flags.short) await writeRandomBert(tiny, bertShapes["tiny"]!, 0.1);
    const real = await mrpcGradients(flags.short ? tiny : await ensureMiniLm(), train, {
      microbatches: flags.microbatches,
      rows: 8,
      maxLength: flags.short ? bertShapes["tiny"]!.positions : 128,
    });
    const { microbatches, groups } = real;
    const truth = new Float64Array(microbatches[0]?.length ?? 0);
    for (const vector of microbatches)
      for (const [i, value] of vector.entries()) truth[i]! += value;
    const forms: (readonly [string, WireForm])[] = [
      ...[128, 256, 4096, 65_536].map((blockElements) => {
        const form = { ...wireForms.int32, blockElements };
        return [`int32, blocks of ${blockElements}`, form] as const;
      }),
      ...gradientWires.map(
        (wire) => [`${wire} (${wireForms[wire].blockElements})`, wireForms[wire]] as const,
      ),
    ];
    const sums: Sum[] = [{ name: "float32 ring", vector: await inFloatRing(microbatches) }];
    if (!flags["no-peer"]) {
      const gloo = await byGloo(microbatches, folder);
      torch = gloo.torch;
      sums.push({ name: "gloo", vector: gloo.vector });
    }
    const results = [
      ...sums.map(({ name, vector }) => ({ name, vector, lost: null })),
      ...(await Promise.all(
        forms.map(async ([name, form]) => {
          const vector = await exactly(real, form);
          const { bounds } = layOutBlocks(real.partSizes, real.rowParts, form);
          return { name, vector, lost: lostIn(vector, truth, bounds) };
        }),
      )),
    ].map(({ name, vector, lost }) => {
      tellProgress(name);
      const errors = groups.map(
        (group) => [group.name, relativeError(vector, truth, group.stretches)] as const,
      );
      return { name, errors: Object.fromEntries(errors), lost };
    });
    const rows = [
      ["sum", ...groups.map(({ name, elements }) => `${name} (${elements})`), "rounded to zero"],
      ...results.map(({ name, errors, lost }) => [
        name,
        ...groups.map((group) => (errors[group.name] ?? Number.NaN).toExponential(1)),
        lost === null ? "–" : String(lost),
      ]),
    ];
    const title = `error of sums of ${flags.microbatches} microbatches' gradients beside float64, relative L2; elements of at least 2⁻²⁰ of their block's largest that became zero`;
    printReport("numerics", [{ title, rows }], {
      versions: torch === null ? null : { torch },
      results,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
