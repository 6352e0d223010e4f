/**
 * Goal: the benches' harness works, from our real programs to the last line. Method: each runs in its short form, on a tiny
 * model; nothing is said about speed. The peer's part needs a Python with torch and transformers: RINGMASTER_BENCH_PYTHON
 * or RINGMASTER_TEST_PYTHON.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import { describeCpu } from "./support/cpu.ts";
import { skipWithout, works } from "../support/needed-tool.ts";
import { networksPermitted } from "../support/network-hosts.ts";
import { runScript } from "../support/run-script.ts";

const python = process.env["RINGMASTER_BENCH_PYTHON"] ?? process.env["RINGMASTER_TEST_PYTHON"];
const found = (name: string): string => `u.find_spec("${name}")`;
const modules = ["torch", "transformers", "accelerate"];
const hasPeer =
  python !== undefined &&
  works(python, [
    "-c",
    `import importlib.util as u; exit(not (${modules.map(found).join(" and ")}))`,
  ]);
const skip = skipWithout(
  hasPeer,
  "a Python with torch, transformers and accelerate (RINGMASTER_BENCH_PYTHON)",
);

const spread = z.object({ median: z.number(), min: z.number(), max: z.number() });
const reportSchema = z.looseObject({
  bench: z.string(),
  cpu: z.object({ name: z.string(), cores: z.number(), flags: z.array(z.string()) }),
  versions: z.record(z.string(), z.string()).nullable(),
  results: z.array(z.looseObject({})),
});

type Report = z.infer<typeof reportSchema>;

const runBench = (name: string, args: readonly string[]) =>
  runScript(new URL(`./${name}.bench.ts`, import.meta.url), args, python);

async function reportOf(name: string, args: readonly string[]): Promise<Report> {
  const peer = hasPeer ? [] : ["--no-peer"];
  const { code, output, errors } = await runBench(name, [...args, "--short", ...peer]);
  assert.equal(code, 0, errors);
  const report = reportSchema.parse(JSON.parse(output.trimEnd().split("\n").at(-1)!));
  assert.equal(report.bench, name);
  return report;
}

/** MRPC's form: a heading, five columns, quotes that mean nothing; texts of several lengths. */
function writeMrpc(folder: string): void {
  const row = (i: number): string => {
    const more = ` w${i % 7}`.repeat(1 + (i % 5) * 4);
    const [first, second] = [`"w${i} w${i + 1}${more}`, `w${i + 1} w${i}"`];
    return [i % 3 === 0 ? 0 : 1, i, i + 1, first, second].join("\t");
  };
  for (const [split, count] of [
    ["train", 1600],
    ["test", 800],
  ] as const) {
    const rows = Array.from({ length: count }, (_, i) => row(i));
    const text = ["\uFEFFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", ...rows].join("\r\n");
    writeFileSync(join(folder, `msr_paraphrase_${split}.txt`), `${text}\r\n`);
  }
}

describe("a bench", () => {
  let data: string;
  before(() => {
    data = mkdtempSync(join(tmpdir(), "bench-data-"));
    writeMrpc(data);
  });
  after(() => rmSync(data, { recursive: true, force: true }));

  it("refuses what it does not know, and says what it knows", async () => {
    for (const [args, words] of [
      [["--turns", "3"], /--turns.*--rounds/su],
      [["--rounds", "some"], /--rounds: expected a number from 0, found "some"/u],
    ] as const) {
      const { code, errors } = await runBench("throughput", args);
      assert.equal(code, 2);
      assert.match(errors, words);
    }
  });

  const hasBf16 = describeCpu().flags.some((flag) => /^(avx512|amx)_bf16$/u.test(flag));
  const way = z.object({ threads: z.number().min(1), allocator: z.enum(["default", "ours"]) });
  const floorOfStep = {
    matmul: z.object({ gflops: z.number().positive(), where: z.string() }),
    floorMs: z.object({ firstRow: z.number().positive() }),
    shareOfFloor: spread,
    shareWithWholeLastLayer: z.number().positive(),
  };
  const every = { rounds: ["--rounds", "1"], steps: ["--rounds", "1", "--steps", "2"] };
  const benches: readonly {
    readonly name: string;
    /** What sets it apart where a bench has several. */
    readonly form?: string;
    readonly args: () => readonly string[];
    /** Fields of the first result, by whether they need the peer. */
    readonly own: z.ZodType;
    /** Fields beside the results. */
    readonly beside?: z.ZodType;
    /** Which result has the peer's figures; default the first. */
    readonly peerRow?: number;
    /** Why it cannot run here. */
    readonly skip?: string | false;
    /** Null for a bench of our side alone. */
    readonly withPeer: z.ZodType | null;
  }[] = [
    {
      name: "throughput",
      args: () => [...every.steps, "--workers", "2"],
      own: z.object({
        workers: z.literal(2),
        ours: spread,
        floor: z.object({ perSecond: z.number().positive(), share: z.number().positive() }),
      }),
      withPeer: z.object({ pytorch: spread, ratio: spread, peerThreads: z.number().min(1) }),
    },
    {
      name: "overlap",
      skip: skipWithout(networksPermitted(), "permission for network namespaces"),
      args: () => [...every.steps, "--workers", "2", "--buckets", "1,3"],
      own: z.object({
        buckets: z.literal(1),
        stepMs: spread,
        wholeExchangeMs: spread,
        hidden: z.object({ ofOwnExchange: spread, ofOneBucket: spread }),
      }),
      withPeer: null,
    },
    {
      name: "links",
      skip: skipWithout(networksPermitted(), "permission for network namespaces"),
      args: () => [...every.steps, "--mbits", "200", "--wires", "int16", "--hooks", "powersgd"],
      own: z.object({
        megabits: z.literal(200),
        form: z.literal("int16"),
        samplesPerSecond: spread,
        loss: z.number(),
        meanLoss: z.number(),
      }),
      withPeer: z.object({ ratios: z.object({ powersgd: spread }) }),
    },
    {
      name: "step",
      args: () => [...every.steps, "--modes", "eager", "--dropout", "0.1", "--precision", "fp32"],
      own: z.object({
        ours: spread,
        lastLayerWhole: spread,
        ...floorOfStep,
      }),
      withPeer: z.object({ ratio: spread, betterPeer: z.literal("eager") }),
    },
    {
      name: "step",
      form: "bf16",
      args: () => [...every.steps, "--modes", "eager", "--dropout", "0.1", "--precision", "bf16"],
      skip: skipWithout(hasBf16, "a processor that multiplies bfloat16 (avx512_bf16 or amx_bf16)"),
      own: z.object({ precision: z.literal("bf16"), ours: spread, ...floorOfStep }),
      withPeer: z.object({ ratio: spread, betterPeer: z.literal("eager") }),
    },
    {
      name: "conv",
      args: () => every.steps,
      own: z.object({ name: z.literal("Ringmaster"), ms: spread, cpuMs: spread }),
      beside: z.object({
        floor: z.object({ ms: z.number().positive(), share: z.number().positive() }),
      }),
      peerRow: 1,
      withPeer: z.object({ way, ms: spread }),
    },
    {
      name: "memory",
      args: () => [...every.steps, "--precision", "fp32"],
      own: z.object({ ours: z.object({ min: z.number().min(1e7) }), processes: z.number().min(3) }),
      withPeer: z.object({ pytorch: z.tuple([z.object({ bytes: spread, ratio: spread })]) }),
    },
    {
      name: "start",
      args: () => [...every.rounds, "--workers", "2"],
      own: z.object({
        workers: z.literal(2),
        firstStep: spread,
        phases: z.array(z.object({ name: z.string(), seconds: spread })).length(7),
      }),
      withPeer: null,
    },
    {
      name: "soak",
      args: () => ["--steps", "300"],
      own: z.object({ peakBytes: z.number().min(1e7), growthPerStep: z.number() }),
      withPeer: null,
    },
    ...["dropout-cost", "checkpointing-cost"].map((name) => ({
      name,
      args: () => [...every.steps, "--precision", "fp32"],
      own: z.object({ model: z.literal("tiny"), with: spread, without: spread, cost: spread }),
      withPeer: null,
    })),
    {
      name: "exactness-cost",
      args: () => every.steps,
      own: z.object({ workers: z.literal(2), int32: spread, float32: spread, cost: spread }),
      withPeer: null,
    },
    {
      name: "numerics",
      args: () => ["--data", data, "--envelope-steps", "2"],
      own: z.object({
        model: z.literal("BERT"),
        name: z.literal("float32 ring"),
        errors: z.record(z.string(), z.number().positive().max(1e-6)),
      }),
      withPeer: z.looseObject({}),
    },
    {
      name: "epoch",
      args: () => [...every.rounds, "--data", data, "--variants", "grouped"],
      own: z.object({ name: z.literal("Ringmaster"), seconds: spread }),
      peerRow: 1,
      withPeer: z.object({ seconds: spread, ratio: spread, way }),
    },
    {
      name: "epoch",
      form: "the article's code",
      args: () => [...every.rounds, "--data", data, "--variants", "article"],
      own: z.object({ name: z.literal("Ringmaster"), seconds: spread }),
      peerRow: 1,
      withPeer: z.object({ seconds: spread, ratio: spread, way }),
    },
    {
      name: "predict",
      args: () => [...every.rounds, "--data", data, "--kinds", "pipeline"],
      own: z.looseObject({}),
      withPeer: z.object({ kind: z.literal("pipeline"), ratio: spread, way }),
    },
    {
      name: "exact",
      args: () => [data, "--padding", "bucket"],
      own: z.object({
        padding: z.literal("bucket"),
        isOne: z.literal(true),
        rows: z.array(
          z.object({ lengths: z.array(z.number()).min(2), clipped: z.number().min(1) }),
        ),
      }),
      withPeer: null,
    },
    {
      name: "ring",
      args: () => [],
      own: z.object({
        processes: z.literal(2),
        megabytes: z.literal(1),
        ours: z.object({ auto: z.object({ ms: spread }), grpc: z.object({ ms: spread }) }),
      }),
      withPeer: z.object({ glooMs: spread, ours: z.object({ grpc: z.object({ ratio: spread }) }) }),
    },
    {
      name: "mrpc",
      args: () => ["--data", data, "--seeds", "42", "--results", join(data, "results.jsonl")],
      own: z.object({ epoch: z.literal(1), ours: z.object({ accuracy: z.number() }) }),
      withPeer: z.object({ trainer: z.object({ accuracy: z.number() }) }),
    },
  ];
  for (const one of benches) {
    const { name, form, args, own, withPeer, beside, peerRow = 0, skip: without = false } = one;
    describe(form === undefined ? name : `${name}, ${form}`, { skip: without }, () => {
      let report: Report;
      it("measures our side", async () => {
        report = await reportOf(name, args());
        beside?.parse(report);
        // Of `predict`, our side is beside the results.
        if (report.results.length > 0) own.parse(report.results[0]);
        else spread.parse((report["ours"] as Record<string, unknown>)["perSecond"]);
      });

      if (withPeer === null) return;
      it("measures the peer's side", { skip }, () => {
        withPeer.parse(report.results[peerRow]);
        assert.match(report.versions?.["torch"] ?? "", /^\d/u);
      });
    });
  }

  it("goes on with the results that it has stored", async () => {
    const file = join(data, "results.jsonl");
    const before = readFileSync(file, "utf8");
    assert.equal(before.trimEnd().split("\n").length, hasPeer ? 2 : 1);
    await reportOf("mrpc", ["--data", data, "--seeds", "42", "--results", file]);
    assert.equal(readFileSync(file, "utf8"), before);
  });
});
