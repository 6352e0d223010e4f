/**
 * A bench's short form as a test: the bench runs as npm runs it, on a tiny model, and its report is checked. The peer's part
 * needs a Python with torch and transformers: RINGMASTER_BENCH_PYTHON or RINGMASTER_TEST_PYTHON.
 */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { z } from "zod";
import { skipWithout, works } from "../../support/needed-tool.ts";
import { runScript, type ScriptEnd } from "../../support/run-script.ts";

const python = process.env["RINGMASTER_BENCH_PYTHON"] ?? process.env["RINGMASTER_TEST_PYTHON"];
const found = (name: string): string => `u.find_spec("${name}")`;
const modules = ["torch", "transformers", "accelerate"];

/** Whether there is a Python with what the peers need. */
export const hasPeer =
  python !== undefined &&
  works(python, [
    "-c",
    `import importlib.util as u; exit(not (${modules.map(found).join(" and ")}))`,
  ]);
const skipPeer = skipWithout(
  hasPeer,
  "a Python with torch, transformers and accelerate (RINGMASTER_BENCH_PYTHON)",
);

/** A figure of a report. */
export const spread = z.object({ median: z.number(), min: z.number(), max: z.number() });

/** How the peer was run. */
export const way = z.object({ threads: z.number().min(1), allocator: z.enum(["default", "ours"]) });

const reportSchema = z.looseObject({
  bench: z.string(),
  cpu: z.object({ name: z.string(), cores: z.number(), flags: z.array(z.string()) }),
  versions: z.record(z.string(), z.string()).nullable(),
  results: z.array(z.looseObject({})),
});

/** What a bench prints last. */
export type Report = z.infer<typeof reportSchema>;

/** Arguments for as little work as a bench can do. */
export const least = {
  rounds: ["--rounds", "1"],
  steps: ["--rounds", "1", "--steps", "2"],
} as const;

/** Runs a bench as npm does. */
export function runBenchScript(name: string, args: readonly string[]): Promise<ScriptEnd> {
  return runScript(new URL(`../${name}.bench.ts`, import.meta.url), args, python);
}

/** Runs a bench's short form, without the peer where there is none; what it prints last. */
export async function reportOf(name: string, args: readonly string[]): Promise<Report> {
  const peer = hasPeer ? [] : ["--no-peer"];
  const { code, output, errors } = await runBenchScript(name, [...args, "--short", ...peer]);
  assert.equal(code, 0, errors);
  const report = reportSchema.parse(JSON.parse(output.trimEnd().split("\n").at(-1)!));
  assert.equal(report.bench, name);
  return report;
}

/** A bench's short form, and what its report must have. */
export interface ShortForm {
  readonly name: string;
  /** What sets it apart where a bench has several. */
  readonly form?: string;
  readonly args: () => readonly string[];
  /** Fields of the first result, by whether they need the peer. */
  readonly own: z.ZodType;
  /** Fields beside the results. */
  readonly beside?: z.ZodType;
  /** Which results have the peer's figures; default the first. */
  readonly peerRows?: readonly number[];
  /** Why it cannot run here. */
  readonly skip?: string | false;
  /** Null for a bench of our side alone. */
  readonly withPeer: z.ZodType | null;
}

/** Tests a short form: one run of the bench, our side's figures, and the peer's. */
export function describeShortForm(one: ShortForm): void {
  const { name, form, args, own, withPeer, beside, peerRows = [0], skip = false } = one;
  describe(form === undefined ? name : `${name}, ${form}`, { skip }, () => {
    let report: Report;
    it("measures our side", async () => {
      report = await reportOf(name, args());
      beside?.parse(report);
      // Of `predict`, our side is beside the results.
      if (report.results.length > 0) own.parse(report.results[0]);
      else spread.parse((report["ours"] as Record<string, unknown>)["perSecond"]);
    });

    if (withPeer === null) return;
    it("measures the peer's side", { skip: skipPeer }, () => {
      for (const row of peerRows) withPeer.parse(report.results[row]);
      assert.match(report.versions?.["torch"] ?? "", /^\d/u);
    });
  });
}

/**
 * A new folder with MRPC's files: a heading, five columns, quotes that mean nothing; texts of several lengths.
 * @returns its path; the caller removes it
 */
export function makeMrpcFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "bench-data-"));
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
  return folder;
}
