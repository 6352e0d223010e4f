/** A process that trains two steps of each of some jobs on fixed inputs and prints their hashes of gradients and state; for tests of threads. */
import { createHash } from "node:crypto";
import { createModel } from "../../worker/model/families.ts";
import type { PrepareOptions } from "../../worker/engine/engine.ts";
import { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";
import { parseTable } from "../../foundation/parameters/table.ts";
import { someValues, sumStep } from "./engine-under-test.ts";
import { packedBatch } from "./packed-batch.ts";

/** Sequences of packed batches: many tokens and few, as products are divided by their number of rows. */
const packedLengths = [
  [128, 100, 3, 77, 128, 12, 9, 128],
  [40, 8, 31, 17, 5, 22, 64, 11],
  [9, 4],
  [2],
];

const [, , bindingFile = "", jobsJson = ""] = process.argv;

const hashOf = (values: Float32Array): string =>
  createHash("sha256").update(values).digest("hex").slice(0, 16);

async function bitsOf(job: PrepareOptions): Promise<Readonly<Record<string, string>>> {
  const engine = new TfjsEngine(
    bindingFile,
    (options) => createModel(options.family, options),
    () => performance.now(),
  );
  const prepared = await engine.prepare(job);
  const model = await createModel(job.family, job);
  const table = parseTable(job.tableJson);
  const parameters = someValues(table.stateSize, 1).map((value) => value / 20);
  for (const { kind, offset, size } of table.entries) {
    // Running variances are among the buffers.
    if (kind === "buffer") parameters.fill(1, offset, offset + size);
  }
  const zeros = new Float32Array(table.trainableSize);
  await engine.loadState({ parameters, firstMoment: zeros, secondMoment: zeros, step: 0 });
  const [shapeKey = ""] = [...model.shapes("train").keys()].slice(-1);
  const packedForm = { rows: job.microbatchSize, vocabulary: 3000 };
  const batches =
    shapeKey === "packed"
      ? packedLengths
          .slice(0, 2)
          .map((lengths) => packedBatch({ ...packedForm, lengths, filling: 5 }))
      : [0, 1].map((variant) => model.exampleBatch(shapeKey, "train", variant === 0 ? 0 : 1));
  const hashes: Record<string, string> = {};
  for (const step of [1, 2]) {
    const sums = await sumStep(engine, prepared, batches, step);
    const { gradNorm } = await engine.norm(sums);
    if (!Number.isFinite(gradNorm)) throw new Error(`The norm is ${gradNorm}`);
    hashes[`gradient ${step}`] = hashOf(sums);
    hashes[`norm ${step}`] = String(gradNorm);
    await engine.update({ step, learningRate: 0.01 });
    const state = await engine.readState(true);
    hashes[`weights ${step}`] = hashOf(state.parameters);
    hashes[`moments ${step}`] = hashOf(state.secondMoment ?? zeros);
  }
  if (model.shapes("evaluate").has("packed")) {
    for (const lengths of packedLengths) {
      const form = { lengths, rows: job.evalMicrobatchSize, vocabulary: 3000 };
      const { logits } = await engine.evaluate(packedBatch(form));
      hashes[`logits of ${lengths.join()}`] = hashOf(logits);
    }
  } else {
    const { logits } = await engine.evaluate(model.exampleBatch(shapeKey, "evaluate", 0));
    hashes["logits"] = hashOf(logits);
  }
  await engine.close();
  return hashes;
}

// Only tests start this, with options that they have made.
const jobs = JSON.parse(jobsJson) as readonly Omit<PrepareOptions, "seed">[];
const bits = [];
for (const job of jobs) bits.push(await bitsOf({ ...job, seed: 7n }));
process.stdout.write(`${JSON.stringify(bits)}\n`);
