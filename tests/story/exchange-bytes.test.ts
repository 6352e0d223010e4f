/** The bytes that a dry run promises are not exceeded, and not much more than what workers then send, as they count it. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { familyOf } from "../../foundation/families/family.ts";
import { exchangeBytesAtMost } from "../../foundation/job/exchange-plan.ts";
import { wireForms, type GradientWire } from "../../foundation/gradient-wire.ts";
import { parseJsonObject } from "../../foundation/model-files/json-object.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";
import { joinByGrpc, joinToken, waitingFlags } from "../support/join-by-grpc.ts";
import { freePort } from "../support/prometheus.ts";
import { startRun } from "../support/story-run.ts";
import { tinyConfig } from "../support/tiny-bert.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const microbatches = 4;
/** Tokens of a microbatch, its only row: all microbatches together have fewer than the vocabulary has rows. */
const maxLength = 8;
/** Tokens that are surely touched: the two at the ends, and a word's first letters. */
const rowsAtLeast = 3;
/** Steps that are counted. */
const stepsMin = 5;

const family = familyOf(tinyConfig());
const table = layOutTable(family.tensors(parseJsonObject(tinyConfig(), "config.json")));

interface Case {
  readonly workers: number;
  readonly wire: GradientWire;
  readonly zeroStage: 0 | 1;
  /** Whether workers of one host share its memory, in which nothing is narrowed. */
  readonly transport: "shm" | "grpc";
}

/** Values and bytes of a page, by worker. */
interface Counted {
  readonly samples: number;
  readonly sent: number;
}

describe("bytes that are exchanged", () => {
  let folder: string;
  let job: string;
  const children: ChildProcess[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "exchange-bytes-"));
    job = join(folder, "job.yaml");
    const text = await writeTinyJob(folder);
    await writeFile(
      job,
      text
        .replace(/^max-length: .*$/mu, `max-length: ${maxLength}`)
        .replace(/^train-batch-size: .*$/mu, `train-batch-size: ${microbatches}`)
        .replace(/^per-device-train-batch-size: .*$/mu, "per-device-train-batch-size: 1"),
    );
  });
  after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  /** What the workers have counted so far; null before the page is there. */
  async function countsOf(metrics: string, transport: string): Promise<Counted[] | null> {
    const page = await fetch(`http://${metrics}/metrics`).then(
      (response) => response.text(),
      () => null,
    );
    if (page === null) return null;
    const valuesOf = (name: string, labels: string): number[] => {
      const line = new RegExp(
        `^ringmaster_${name}\\{worker="[^"]*",${labels}[^}]*\\} (\\d+)$`,
        "gmu",
      );
      return [...page.matchAll(line)].map(([, value]) => Number(value));
    };
    const samples = valuesOf("samples_total", "");
    const sent = valuesOf("exchange_bytes_total", `direction="sent",transport="${transport}"`);
    return samples.map((count, at) => ({ samples: count, sent: sent[at] ?? Number.NaN }));
  }

  /** Bytes that a worker sends in a step, the mean of all, from one look at the page to a later one. */
  async function measure(name: string, { workers, wire, zeroStage, transport }: Case) {
    const output = join(folder, name);
    const metrics = `127.0.0.1:${await freePort()}`;
    const flags = [
      ["--workers", String(workers), "--gradient-wire", wire],
      ["--zero-stage", String(zeroStage), "--metrics-listen", metrics],
      ["--output-dir", output],
      transport === "grpc" ? [...waitingFlags] : [],
    ];
    const run = startRun(["train", job, ...flags.flat()], { RINGMASTER_JOIN_TOKEN: joinToken });
    children.push(run.child);
    if (transport === "grpc")
      children.push(...(await joinByGrpc(run, output, workers)).map(({ child }) => child));
    const total = (counts: Counted[], key: keyof Counted): number =>
      counts.reduce((sum, count) => sum + count[key], 0);
    let first: Counted[] | null = null;
    for (;;) {
      assert.equal(run.child.exitCode, null, run.text());
      const counts = await countsOf(metrics, transport);
      if (counts?.length === workers) {
        first ??= counts;
        const samples = total(counts, "samples") - total(first, "samples");
        if (samples >= stepsMin * microbatches) {
          run.interrupt();
          await run.ended;
          const bytes = total(counts, "sent") - total(first, "sent");
          return (bytes * microbatches) / samples / workers;
        }
      }
      await sleep(20);
    }
  }

  const cases: readonly Case[] = [
    { workers: 2, wire: "int32", zeroStage: 0, transport: "shm" },
    { workers: 4, wire: "int32", zeroStage: 0, transport: "shm" },
    { workers: 2, wire: "int8-block", zeroStage: 0, transport: "grpc" },
    { workers: 4, wire: "float32", zeroStage: 0, transport: "shm" },
    { workers: 2, wire: "int32", zeroStage: 1, transport: "shm" },
    { workers: 4, wire: "int16", zeroStage: 1, transport: "grpc" },
  ];
  for (const one of cases) {
    const { workers, wire, zeroStage, transport } = one;
    it(`are at most those planned: ${workers} workers, ${wire}, ${transport}, stage ${zeroStage}`, async () => {
      const measured = await measure(`${wire}-${workers}-${zeroStage}`, one);
      const isScattered = zeroStage === 1 && wireForms[wire].exact;
      const share = (workers - 1) / workers;
      const weights = zeroStage === 1 ? share * table.trainableSize * 4 : 0;
      const planned =
        weights +
        exchangeBytesAtMost({
          table,
          lookedUp: family.lookedUp,
          wire,
          workers,
          microbatches,
          tokens: maxLength,
          isScattered,
          buckets: null,
        });
      assert.ok(measured <= planned + 1, `${measured} bytes, planned ${planned}`);
      // All that comes whole, but for keys' biases, which have no gradient; and few rows.
      const elements = table.entries.reduce((sum, { name, size, shape: [rows = 1] }) => {
        if (name.endsWith("key.bias")) return sum;
        return sum + (family.lookedUp.includes(name) ? (size / rows) * rowsAtLeast : size);
      }, 0);
      const passes = isScattered ? 1 : 2;
      const least = weights + passes * share * elements * (wireForms[wire].bits / 8);
      assert.ok(measured >= least, `${measured} bytes, at least ${least}`);
    });
  }
});
