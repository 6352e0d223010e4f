/**
 * Goal: benches of whole commands, of memory and of links print the floor of what they do and our share of it. Method: their
 * short forms, our side only; the operations are worked out here from words that are one token each.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import { skipWithout } from "../support/needed-tool.ts";
import { networksPermitted } from "../support/network-hosts.ts";
import { runScript } from "../support/run-script.ts";
import { forwardFlops, stepFlops, trainingFlops } from "./support/floor.ts";
import { bertShapes } from "./support/random-bert.ts";

const tiny = bertShapes["tiny"]!;
const step = stepFlops(tiny, { rows: 8, tokens: 16 }, "first-row");

/** Words of a row's two sentences; some pairs are longer than the model reads. */
const wordsOf = (row: number): readonly [number, number] => [3 + (row % 5) * 9, 4 + (row % 7) * 5];
const rows = { train: 1600, test: 800 };

function writePairs(folder: string): void {
  for (const [split, count] of Object.entries(rows)) {
    const lines = Array.from({ length: count }, (_, row) => {
      const [first, second] = wordsOf(row).map((words) => `w${row % 9} `.repeat(words).trimEnd());
      return [row % 2, row, row, first, second].join("\t");
    });
    const text = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", ...lines].join("\r\n");
    writeFileSync(join(folder, `msr_paraphrase_${split}.txt`), `${text}\r\n`);
  }
}

/** Tokens of the first pairs, each with three special ones. */
const pairTokens = (count: number): readonly number[] =>
  Array.from({ length: count }, (_, row) => {
    const [first, second] = wordsOf(row);
    return Math.min(tiny.positions, first + second + 3);
  });

const floorSchema = z.object({
  flops: z.number(),
  gflops: z.number().positive(),
  where: z.string().min(1),
  seconds: z.number().positive(),
  share: z.number().positive(),
});
const reportSchema = z.looseObject({ results: z.array(z.looseObject({})) });
const spread = z.object({ median: z.number().positive() });

/** A bench, where its floor is in the report, and the time in seconds that it is a share of. */
interface FloorCase {
  readonly name: string;
  readonly args: (data: string) => readonly string[];
  readonly flops: number;
  readonly find: (report: z.infer<typeof reportSchema>) => unknown;
  readonly seconds: (report: z.infer<typeof reportSchema>) => number;
  readonly skip?: string | false;
}

const networks = skipWithout(networksPermitted(), "permission for network namespaces");
const firstOf = ({ results }: z.infer<typeof reportSchema>) => results[0];
const sentences = Array.from({ length: 64 }, (_, row) => wordsOf(row)).flat();

const cases: readonly FloorCase[] = [
  {
    name: "epoch",
    args: (data) => ["--data", data],
    flops:
      trainingFlops(tiny, pairTokens(rows.train), "first-row") +
      forwardFlops(tiny, pairTokens(rows.test), "first-row"),
    find: (report) => firstOf(report)?.["floor"],
    seconds: (report) => z.object({ seconds: spread }).parse(firstOf(report)).seconds.median,
  },
  {
    name: "predict",
    args: (data) => ["--data", data],
    flops: forwardFlops(
      tiny,
      sentences.map((words) => words + 2),
      "first-row",
    ),
    find: (report) => report["floor"],
    seconds: (report) => {
      const { perSecond } = z.object({ perSecond: spread }).parse(report["ours"]);
      return sentences.length / perSecond.median;
    },
  },
  {
    name: "memory",
    args: () => ["--steps", "2", "--precision", "fp32"],
    flops: step,
    find: (report) => firstOf(report)?.["floor"],
    seconds: (report) => z.object({ stepMs: spread }).parse(firstOf(report)).stepMs.median / 1000,
  },
  {
    name: "links",
    args: () => ["--steps", "2", "--mbits", "200", "--wires", "int16"],
    flops: 2 * step,
    find: (report) => firstOf(report)?.["floor"],
    seconds: (report) => {
      const { samplesPerSecond } = z.object({ samplesPerSecond: spread }).parse(firstOf(report));
      return 16 / samplesPerSecond.median;
    },
    skip: networks,
  },
  {
    name: "overlap",
    args: () => ["--steps", "2", "--workers", "2", "--buckets", "1"],
    flops: 2 * step,
    find: (report) => firstOf(report)?.["floor"],
    seconds: (report) => z.object({ stepMs: spread }).parse(firstOf(report)).stepMs.median / 1000,
    skip: networks,
  },
];

describe("the floor of a bench", () => {
  let data: string;
  before(() => {
    data = mkdtempSync(join(tmpdir(), "floors-data-"));
    writePairs(data);
  });
  after(() => rmSync(data, { recursive: true, force: true }));

  for (const { name, args, flops, find, seconds, skip = false } of cases) {
    it(
      `of ${name} is its tokens' products at the best rate, and a share of our time`,
      { skip },
      async () => {
        const script = new URL(`./${name}.bench.ts`, import.meta.url);
        const all = [...args(data), "--rounds", "1", "--short", "--no-peer"];
        const { code, output, errors } = await runScript(script, all, undefined);
        assert.equal(code, 0, errors);
        assert.match(output, /^CPU: .+ cores/mu);
        assert.match(output, /^floor of .+ GFLOP of matrix products at \d+ GFLOP\/s \(.+\)$/mu);
        assert.match(output, /share of the floor/u);
        const report = reportSchema.parse(JSON.parse(output.trimEnd().split("\n").at(-1)!));
        const floor = floorSchema.parse(find(report));
        assert.equal(floor.flops, flops);
        const close = (value: number, wanted: number): void =>
          assert.ok(Math.abs(value / wanted - 1) < 1e-9, `${value} is not ${wanted}`);
        close(floor.seconds, flops / floor.gflops / 1e9);
        close(floor.share, floor.seconds / seconds(report));
      },
    );
  }
});
