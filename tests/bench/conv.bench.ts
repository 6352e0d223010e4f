/**
 * `npm run bench:conv [-- --rows 64 --rounds 7 --steps 2 --threads 0]`: a full training step (forward, backward, clipping,
 * AdamW) of ResNet-18 for 32 × 32 images in float32, beside PyTorch eager in both memory layouts, of which the better counts.
 * Ours is the engine by itself: no ring, no data. Wall and processor time; the latter tells more on a machine that is not
 * quiet. `--threads`: threads of both sides, 0 for all cores. `--convolution-table N`: our kernels by
 * another table of rules. `--short`: tiny, to try the harness; `--no-peer`: ours only.
 */
import { z } from "zod";
import { newestConvolutionTable } from "../../foundation/convolution-table.ts";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { ensureBinding, ForkedEngine } from "./support/forked.ts";
import { startPeerRanks, type PeerRanks } from "./support/peer-ranks.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, median, spreadOf } from "./support/statistics.ts";

const layouts = ["contiguous", "channels_last"] as const;
const helloSchema = z.object({ torch: z.string() });
const blockSchema = z.object({ ms: z.array(z.number()), cpuMs: z.array(z.number()) });
const warmUpSteps = 2;

type Block = z.infer<typeof blockSchema>;

/** Whoever is measured: medians of each round. */
class Side {
  readonly name: string;
  readonly ms: number[] = [];
  readonly cpuMs: number[] = [];
  readonly #run: (steps: number) => Promise<Block>;

  constructor(name: string, run: (steps: number) => Promise<Block>) {
    this.name = name;
    this.#run = run;
  }

  async warmUp(): Promise<void> {
    await this.#run(warmUpSteps);
  }

  async round(steps: number): Promise<void> {
    const { ms, cpuMs } = await this.#run(steps);
    this.ms.push(median(ms));
    this.cpuMs.push(median(cpuMs));
  }

  get result() {
    return { name: this.name, ms: spreadOf(this.ms), cpuMs: spreadOf(this.cpuMs) };
  }
}

/** Medians of the other's round ÷ ours, of the one with the least median. */
function ratioOf(ours: Side, peers: readonly Side[], kind: "ms" | "cpuMs") {
  const [better] = [...peers].sort((a, b) => median(a[kind]) - median(b[kind]));
  if (better === undefined) return null;
  const ratios = better[kind].map((value, round) => value / (ours[kind][round] ?? Number.NaN));
  return { better: better.name, ratio: spreadOf(ratios) };
}

async function startOurs(form: object, threads: number): Promise<[ForkedEngine, Side]> {
  const bindingFile = await ensureBinding();
  const engine = new ForkedEngine("conv-process.ts", threads);
  await engine.ask({ ...form, bindingFile });
  const run = async (steps: number) => blockSchema.parse(await engine.ask({ steps }));
  return [engine, new Side("Ringmaster", run)];
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    rows: 64,
    rounds: 7,
    steps: 2,
    threads: 0,
    "convolution-table": newestConvolutionTable,
    short: false,
    "no-peer": false,
  });
  const { rounds, steps, threads } = flags;
  const rows = flags.short ? 4 : flags.rows;
  const imageSize = flags.short ? 8 : 32;
  const convolutionTable = flags["convolution-table"];
  const hiddenSizes = flags.short ? [8, 16] : [64, 128, 256, 512];
  const form = { rows, imageSize, hiddenSizes, convolutionTable };
  const open: { close(): Promise<void> }[] = [];
  try {
    const [engine, ours] = await startOurs(form, threads);
    open.push(engine);
    let peer: PeerRanks<z.infer<typeof helloSchema>> | null = null;
    if (!flags["no-peer"]) {
      const args = [String(rows), String(imageSize), hiddenSizes.join(",")];
      peer = await startPeerRanks("conv_step.py", args, helloSchema);
      open.push(peer);
    }
    const peers = layouts.flatMap((layout) => {
      const run = async (count: number): Promise<Block> =>
        blockSchema.parse(await peer?.ask({ layout, threads, steps: count }, blockSchema));
      return peer === null ? [] : [new Side(`PyTorch, ${layout}`, run)];
    });
    const sides = [ours, ...peers];
    for (const side of sides) await side.warmUp();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < sides.length; i++) await sides[(round + i) % sides.length]?.round(steps);
      const last = sides.map(({ ms }) => ms.at(-1)?.toFixed(0) ?? "–").join(" beside ");
      tellProgress(`round ${round + 1} of ${rounds}: ${last} ms`);
    }
    const results = sides.map((side) => side.result);
    const ratios = { wall: ratioOf(ours, peers, "ms"), cpu: ratioOf(ours, peers, "cpuMs") };
    const title = `ResNet-18, ${rows} images of ${imageSize} × ${imageSize}, fp32, ${rounds} rounds in turn of ${steps} steps: median (least–most)`;
    const ratioText = (ratio: (typeof ratios)["wall"]): string =>
      ratio === null ? "–" : formatSpread(ratio.ratio, 2);
    const table = [
      ["", "wall, ms", "processor, ms"],
      ...results.map(({ name, ms, cpuMs }) => [name, formatSpread(ms, 0), formatSpread(cpuMs, 0)]),
      ["better PyTorch ÷ ours", ratioText(ratios.wall), ratioText(ratios.cpu)],
    ];
    const versions = peer === null ? null : { torch: peer.hello.torch };
    printReport("conv", [{ title, rows: table }], {
      versions,
      rounds,
      steps,
      convolutionTable,
      results,
      ratios,
    });
  } finally {
    await Promise.all(open.map((one) => one.close()));
  }
}

await runBench(main);
