/**
 * A process that does with a file what the coordinator does with it: checks and indexes it, then draws microbatches all
 * over it. Its parent names the file; it answers with times and memory. Started with --expose-gc.
 */
import { setImmediate } from "node:timers/promises";
import { z } from "zod";
import { openData } from "../../../coordinator/data/open-data.ts";
import { planEpoch } from "../../../coordinator/data/sampler.ts";

const startSchema = z.object({ file: z.string(), cacheFolder: z.string(), batches: z.number() });

const microbatchSize = 8;
const trainBatchSize = 32;
const signal = new AbortController().signal;
const silent = { begin: () => ({ advance: () => {}, end: () => {} }) };

/** Bytes in use now, garbage left out. Buffers are given back a turn after what held them was collected. */
async function memory(): Promise<{ readonly rss: number; readonly held: number }> {
  for (let turn = 0; turn < 3; turn++) {
    globalThis.gc?.();
    await setImmediate();
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { rss, held: heapUsed + arrayBuffers };
}

async function measure(message: unknown): Promise<void> {
  const { file, cacheFolder, batches } = startSchema.parse(message);
  const columns = { textColumn: "text", textPairColumn: null, labelColumn: "label" };
  const files = { dataset: null, trainFiles: [file], validationFiles: [], testFiles: [] };
  const before = await memory();
  const start = performance.now();
  const cpuBefore = process.cpuUsage();
  const data = await openData(
    { ...files, ...columns, validationSplit: 0 },
    {
      labels: null,
      cacheFolder,
      hub: { env: {}, cacheFolder, progress: silent, signal },
      signal,
    },
  );
  const indexMs = performance.now() - start;
  const cpu = process.cpuUsage(cpuBefore);
  const { train } = data;
  if (train === null) throw new Error("no training data");
  const indexed = await memory();
  const plan = planEpoch({
    size: train.size,
    seed: 42,
    epoch: 0,
    trainBatchSize,
    microbatchSize,
    lengthOf: (index) => train.lengthOf(index),
  });
  const drawStart = performance.now();
  let drawn = 0;
  for (let turn = 0; turn < batches; turn++) {
    const batch = Math.floor((turn * plan.batchCount) / batches);
    for (const microbatch of plan.batch(batch)) {
      drawn += (await train.read(microbatch, signal)).length;
    }
  }
  const drawMs = performance.now() - drawStart;
  const after = await memory();
  process.send?.({
    records: train.size,
    indexMs,
    indexCpuMs: (cpu.user + cpu.system) / 1000,
    drawMs,
    drawn,
    heldBytes: indexed.held - before.held,
    rssBytes: after.rss,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  });
  await train.close();
  process.disconnect();
}

process.once("message", (message) => {
  measure(message).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
