/**
 * `npm run bench:conv [-- --rows 64 --rounds 7 --steps 2 --warm-up 40 --threads 0]`: a full training step (forward, backward, clipping,
 * AdamW) of ResNet-18 for 32 × 32 images in float32, beside PyTorch eager in both memory layouts, of which the better counts.
 * Ours is the engine by itself: no ring, no data. Wall and processor time; the latter tells more on a machine that is not
 * quiet. `--threads`: threads of both sides; 0 for all cores on ours, and on PyTorch's whatever count is fastest in each layout, as
 * its allocator settings are chosen in any case. `--convolution-table N`: our kernels by
 * another table of rules. `--short`: tiny, to try the harness; `--no-peer`: ours only.
 */
import { newestConvolutionTable } from "../../foundation/convolution-table.ts";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { chooseConvPeers, convBlockSchema, type ConvBlock } from "./support/conv-peers.ts";
import { convProducts, convStepFlops } from "./support/conv-floor.ts";
import { ensureBinding, ForkedEngine } from "./support/forked.ts";
import { MatmulRates } from "./support/matmul-rates.ts";
import { describeWay, type PeerWay } from "./support/peer-way.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, howRatios, median, ratioOfMedians, spreadOf } from "./support/statistics.ts";
import { warmUpSteps } from "./support/warm-up.ts";

/** Whoever is measured: medians of each round. */
class Side {
  readonly name: string;
  readonly ms: number[] = [];
  readonly cpuMs: number[] = [];
  /** How the peer runs; null of ours. */
  readonly way: PeerWay | null;
  readonly #run: (steps: number) => Promise<ConvBlock>;

  constructor(name: string, way: PeerWay | null, run: (steps: number) => Promise<ConvBlock>) {
    this.name = name;
    this.way = way;
    this.#run = run;
  }

  async warmUp(steps: number): Promise<void> {
    await this.#run(steps);
  }

  async round(steps: number): Promise<void> {
    const { ms, cpuMs } = await this.#run(steps);
    this.ms.push(median(ms));
    this.cpuMs.push(median(cpuMs));
  }

  get result() {
    return { name: this.name, way: this.way, ms: spreadOf(this.ms), cpuMs: spreadOf(this.cpuMs) };
  }
}

/** The other's ÷ ours, of the one with the least median. */
function ratioOf(ours: Side, peers: readonly Side[], kind: "ms" | "cpuMs") {
  const [better] = [...peers].sort((a, b) => median(a[kind]) - median(b[kind]));
  if (better === undefined) return null;
  return { better: better.name, ratio: ratioOfMedians(better[kind], ours[kind]) };
}

async function startOurs(form: object, threads: number): Promise<[ForkedEngine, Side]> {
  const bindingFile = await ensureBinding();
  const engine = new ForkedEngine("conv-process.ts", threads);
  await engine.ask({ ...form, bindingFile });
  const run = async (steps: number) => convBlockSchema.parse(await engine.ask({ steps }));
  return [engine, new Side("Ringmaster", null, run)];
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    rows: 64,
    rounds: 7,
    steps: 2,
    "warm-up": 0,
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
    const peers: Side[] = [];
    let versions: { readonly torch: string } | null = null;
    if (!flags["no-peer"]) {
      const args = [String(rows), String(imageSize), hiddenSizes.join(",")];
      const chosen = await chooseConvPeers(args, threads);
      open.push(chosen);
      versions = { torch: chosen.torch };
      for (const { layout, way, run } of chosen.peers)
        peers.push(new Side(`PyTorch, ${layout}`, way, run));
    }
    const rates = await MatmulRates.start(convProducts(form), "fp32", !flags["no-peer"]);
    open.push(rates);
    const sides = [ours, ...peers];
    const warmUp = warmUpSteps(flags);
    for (const side of sides) await side.warmUp(warmUp);
    for (let round = 0; round < rounds; round++) {
      await rates.round();
      for (let i = 0; i < sides.length; i++) await sides[(round + i) % sides.length]?.round(steps);
      const last = sides.map(({ ms }) => ms.at(-1)?.toFixed(0) ?? "–").join(" beside ");
      tellProgress(`round ${round + 1} of ${rounds}: ${last} ms`);
    }
    const results = sides.map((side) => side.result);
    const ratios = { wall: ratioOf(ours, peers, "ms"), cpu: ratioOf(ours, peers, "cpuMs") };
    const floorMs = convStepFlops(form) / rates.best.gflops / 1e6;
    const floor = { ms: floorMs, share: floorMs / median(ours.ms), matmul: rates.best };
    const title = `ResNet-18, ${rows} images of ${imageSize} × ${imageSize}, fp32, ${rounds} rounds in turn of ${steps} steps after ${warmUp}: ${howRatios}`;
    const ratioText = (ratio: (typeof ratios)["wall"]): string =>
      ratio === null ? "–" : formatSpread(ratio.ratio, 2);
    const table = [
      ["", "wall, ms", "processor, ms", "fastest with"],
      ...results.map(({ name, ms, cpuMs, way }) => [
        name,
        formatSpread(ms, 0),
        formatSpread(cpuMs, 0),
        way === null ? "" : describeWay(way),
      ]),
      ["floor of direct products", `${floorMs.toFixed(0)} (all cores)`, ""],
      ["its share of ours", `${(100 * floor.share).toFixed(0)} %`, ""],
      ["better PyTorch ÷ ours", ratioText(ratios.wall), ratioText(ratios.cpu)],
    ];
    printReport("conv", [{ title, rows: table }], {
      versions,
      rounds,
      steps,
      warmUp,
      convolutionTable,
      results,
      floor,
      ratios,
    });
  } finally {
    await Promise.all(open.map((one) => one.close()));
  }
}

await runBench(main);
