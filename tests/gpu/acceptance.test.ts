/**
 * Goal: `npm run test:gpu` works to its last line, so that whoever has GPUs finds nothing broken but what GPUs break. Method: the
 * whole of it on a CPU, tiny; what it reads and decides by itself; and its refusal where there is no GPU.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import { presentGpus } from "../../foundation/host/graphics-cards.ts";
import { works } from "../support/needed-tool.ts";
import { runScript } from "../support/run-script.ts";
import { readTap } from "./parity.ts";
import { planAcceptance } from "./plan.ts";
import { reportText, shortcomings, type AcceptanceReport } from "./report.ts";

const python = process.env["RINGMASTER_BENCH_PYTHON"] ?? process.env["RINGMASTER_TEST_PYTHON"];
const hasPeer = python !== undefined && works(python, ["-c", "import torch, transformers"]);

const accept = (args: readonly string[]) =>
  runScript(new URL("./acceptance.ts", import.meta.url), args, python);

const reportSchema = z.looseObject({
  test: z.literal("gpu"),
  passed: z.literal(true),
  parity: z.object({ passed: z.number().min(10), failed: z.literal(0) }).nullable(),
  exactness: z
    .array(
      z.object({
        precision: z.enum(["fp32", "fp16"]),
        isOne: z.literal(true),
        runs: z.array(z.looseObject({ name: z.string(), sha256: z.string().length(64) })),
      }),
    )
    .nullable(),
  throughput: z
    .looseObject({
      results: z.array(
        z.looseObject({ workers: z.number(), ours: z.object({ median: z.number().positive() }) }),
      ),
    })
    .nullable(),
});

describe("the acceptance for GPUs", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "gpu-acceptance-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const short = ["--device", "cpu", "--short"];

  async function reportOf(...args: string[]): Promise<z.infer<typeof reportSchema>> {
    const place = join(folder, args.join(""));
    const { code, output, errors } = await accept([...short, ...args, "--report", place]);
    assert.equal(code, 0, `${errors}\n${output}`);
    const last = output.trimEnd().split("\n").at(-1) ?? "";
    assert.equal(readFileSync(join(place, "report.json"), "utf8"), `${last}\n`);
    assert.ok(output.startsWith(readFileSync(join(place, "report.md"), "utf8")));
    return reportSchema.parse(JSON.parse(last));
  }

  it("proves parity and one hash", async () => {
    const parts = ["--parts", "parity,exactness"];
    const report = await reportOf(...parts, "--workers", "1,2", "--precision", "fp32,fp16");
    assert.ok(report.parity !== null && report.throughput === null);
    const names = report.exactness?.map(({ runs }) => runs.map(({ name }) => name));
    const each = ["1 worker", "2 workers", "resumed"];
    assert.deepEqual(names, [each, each]);
    const hashes = report.exactness?.map(({ runs }) => runs[0]?.sha256);
    assert.notEqual(hashes?.[0], hashes?.[1]);
  });

  it("measures throughput", async () => {
    const peer = hasPeer ? ["--modes", "eager"] : ["--no-peer"];
    const few = ["--workers", "2", "--precision", "fp16", "--rounds", "1", "--steps", "2"];
    const { throughput } = await reportOf("--parts", "throughput", ...few, ...peer);
    const [only] = throughput?.results ?? [];
    assert.equal(only?.workers, 2);
    assert.equal(typeof only?.["ratio"], hasPeer ? "number" : "object");
  });

  it("refuses a machine without a GPU, and flags that it does not know", async (t) => {
    const wrong = await accept([...short, "--parts", "speed"]);
    assert.equal(wrong.code, 2);
    assert.match(wrong.errors, /--parts: expected some of parity.*found "speed"/u);
    if (presentGpus().length > 0) {
      t.skip("there is a GPU");
      return;
    }
    const { code, output, errors } = await accept([]);
    assert.equal(code, 2);
    assert.equal(output, "");
    assert.match(errors, /--device: expected cpu, or gpu.*--device cpu --short/u);
  });

  it("plans one worker for each GPU that may be used", () => {
    const present = ["nvidia0", "nvidia1", "nvidia2", "nvidia3"];
    assert.deepEqual(planAcceptance([], present, undefined).workers, [1, 2, 4]);
    assert.deepEqual(planAcceptance([], present, "3").workers, [1]);
    assert.deepEqual(planAcceptance(["--workers", "3,1"], present, undefined).workers, [1, 3]);
    assert.throws(() => planAcceptance(["--workers", "5"], present, undefined), /at most 4/u);
    assert.throws(() => planAcceptance(["--workers", "0"], present, undefined), /from 1/u);
  });

  it("reads what the tests' runner says", () => {
    const tap = [
      "TAP version 13",
      "# Subtest: suite",
      "    not ok 2 - logits agree",
      "      ---",
      "      type: 'test'",
      "      error: 'logit 3'",
      "      ...",
      "not ok 1 - suite",
      "  ---",
      "  type: 'suite'",
      "  error: '1 subtest failed'",
      "  ...",
      "# pass 4",
      "# fail 1",
    ];
    const failures = ["logits agree: logit 3"];
    assert.deepEqual(readTap(tap.join("\n")), { passed: 4, failed: 1, failures });
    assert.equal(readTap(tap.slice(0, -2).join("\n")), null);
  });

  it("fails with the reasons, and says what could not be carried out", () => {
    const plan = planAcceptance(short, [], undefined);
    const run = { name: "1 worker", workers: 1, sha256: "aa", seconds: 1 };
    const report: AcceptanceReport = {
      plan,
      cpu: { name: "a CPU", cores: 2, flags: [] },
      gpus: [],
      versions: {},
      parity: { passed: 3, failed: 1, failures: ["logits agree: logit 3"] },
      exactness: [{ precision: "bf16", runs: [run], isOne: false }],
      throughput: "no PyTorch",
    };
    const wrong = [
      "throughput could not be carried out: no PyTorch",
      "parity: logits agree: logit 3",
      "exactness: bf16 gave more than one hash",
    ];
    assert.deepEqual(shortcomings(report), wrong);
    const text = reportText(report);
    assert.match(text, /^# Acceptance on a CPU, short: FAILED$/mu);
    for (const line of wrong) assert.ok(text.includes(`**${line}**`), text);
    const fine = { ...report, parity: null, exactness: null, throughput: null };
    assert.deepEqual(shortcomings(fine), []);
  });
});
