/**
 * Updates of which each rank makes its share: the same bits as one update of everything, with no moments of other ranks'
 * shares anywhere.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import {
  parseTinyConvnetConfig,
  tinyConvnetTensors,
} from "../../../foundation/families/tiny-convnet.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { placeShare, shareLength, type Share } from "../../../foundation/parameters/shares.ts";
import { layOutTable, parseTable } from "../../../foundation/parameters/table.ts";
import type { Engine, PreparedPrograms, PrepareOptions } from "../../../worker/engine/engine.ts";
import { assembleGraph } from "../../../worker/engine/program-graph.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { createModel } from "../../../worker/model/families.ts";
import {
  engineUnderTest,
  jobOf,
  relativeDifference,
  sumStep,
} from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";
import { tinyConvnet } from "../../support/tiny-convnet.ts";

const bertConfig: object = JSON.parse(tinyConfig({ num_labels: 2 })) as object;
const forms = [
  {
    family: "bert",
    config: bertConfig,
    specs: bertFamily.tensors({ ...bertConfig }),
    frozen: new Set(["bert.embeddings.position_embeddings.weight"]),
    bucketLengths: [8, 16],
    maxLength: 16,
    microbatchesPerStep: 4,
  },
  // With buffers.
  {
    family: "tiny-convnet",
    config: tinyConvnet,
    specs: tinyConvnetTensors(parseTinyConvnetConfig(tinyConvnet)),
  },
];
const steps = 3;
const pageBytes = 65_536;

interface Rank {
  readonly engine: Engine;
  readonly prepared: PreparedPrograms;
}

const engines: Engine[] = [];

async function startRank(job: PrepareOptions): Promise<Rank> {
  const engine = await engineUnderTest((options) => createModel(options.family, options));
  engines.push(engine);
  return { engine, prepared: await engine.prepare(job) };
}

async function gradientOf({ engine, prepared }: Rank, job: PrepareOptions, step: number) {
  const model = await createModel(job.family, job);
  const batches = [...model.shapes("train").keys()]
    .flatMap((key) => [model.exampleBatch(key, "train", 0), model.exampleBatch(key, "train", 1)])
    .slice(0, job.microbatchesPerStep);
  return await sumStep(engine, prepared, batches, step);
}

const place = (step: number) => ({ step, learningRate: 0.01 / step });

/** Two ranges for each rank, one from either third of the vector and the rest of it, at odd places. */
function cutShares(size: number, rankCount: number): readonly Share[] {
  const third = Math.floor(size / 3);
  const bound = (from: number, to: number, rank: number): number =>
    rank === rankCount ? to : from + Math.floor(((to - from) * rank) / rankCount);
  return Array.from({ length: rankCount }, (_, rank) =>
    [
      { start: bound(0, third, rank), end: bound(0, third, rank + 1) },
      { start: bound(third, size, rank), end: bound(third, size, rank + 1) },
    ].filter(({ start, end }) => end > start),
  );
}

/** Parameters and moments after some updates of everything. */
async function trainWhole(job: PrepareOptions) {
  const rank = await startRank(job);
  await rank.engine.loadState({ parameters: stateOf(job), step: 0 });
  for (let step = 1; step <= steps; step++) {
    await rank.engine.norm(await gradientOf(rank, job, step));
    await rank.engine.update(place(step));
  }
  return await rank.engine.readState(true);
}

function stateOf(job: PrepareOptions): Float32Array {
  return initialState(parseTable(job.tableJson).entries, 11);
}

describe("updates by shares", () => {
  after(async () => {
    for (const engine of engines) await engine.close();
  });

  for (const form of forms) {
    for (const eager of [false, true]) {
      it(`give the bits of one update on ${form.family}${eager ? ", eagerly" : ""}`, async () => {
        const job = jobOf({ ...form, eager });
        const expected = await trainWhole(job);
        const { trainableSize } = parseTable(job.tableJson);
        for (const rankCount of [1, 2, 3]) {
          const shares = cutShares(trainableSize, rankCount);
          const ranks: Rank[] = [];
          for (const share of shares) {
            const rank = await startRank({ ...job, zeroStage: 1 });
            await rank.engine.loadState({ parameters: stateOf(job), step: 0, share });
            ranks.push(rank);
          }
          for (let step = 1; step <= steps; step++) {
            const sums = await gradientOf(ranks[0]!, job, step);
            const vectors = ranks.map(() => allocateShared(sums.length));
            for (const [rank, { engine }] of ranks.entries()) {
              vectors[rank]!.set(sums);
              await engine.norm(vectors[rank]!);
              await engine.updateShare(place(step));
            }
            for (const vector of vectors) {
              for (const [rank, share] of shares.entries()) {
                for (const { start, end } of share)
                  vector.set(vectors[rank]!.subarray(start, end), start);
              }
            }
            for (const { engine } of ranks) await engine.takeWeights();
          }
          for (const [rank, { engine }] of ranks.entries()) {
            const share = shares[rank]!;
            const state = await engine.readState(true);
            assert.equal(state.step, steps);
            assert.deepEqual(state.share, shares[rank]);
            assert.deepEqual(state.parameters, expected.parameters, `rank ${rank} of ${rankCount}`);
            for (const moment of ["firstMoment", "secondMoment"] as const) {
              for (const { start, end, at } of placeShare(share)) {
                const own = state[moment]!.slice(at, at + end - start);
                assert.deepEqual(own, expected[moment]!.slice(start, end));
              }
              const most = Math.ceil((shareLength(share) * 4) / pageBytes) * pageBytes;
              assert.ok(state[moment]!.buffer.byteLength <= most, "no room for other shares");
            }
          }
        }
      });
    }
  }

  it("clip by the norm that they are given instead of their own", async () => {
    const { optimizer } = jobOf(forms[1]!);
    const job = jobOf({
      ...forms[1]!,
      zeroStage: 1,
      optimizer: { ...optimizer, maxGradNorm: 1e-3 },
    });
    const rank = await startRank(job);
    const moments: Float32Array[] = [];
    for (const factor of [1, 2]) {
      await rank.engine.loadState({ parameters: stateOf(job), step: 0 });
      const { gradNorm } = await rank.engine.norm(await gradientOf(rank, job, 1));
      assert.ok(gradNorm > 1e-2, `nothing would be clipped at ${gradNorm}`);
      const given = factor === 1 ? {} : { gradNorm: gradNorm * factor };
      await rank.engine.updateShare({ ...place(1), ...given });
      await rank.engine.takeWeights();
      moments.push((await rank.engine.readState(true)).firstMoment!.slice());
    }
    const [own, halved] = moments;
    assert.ok(
      relativeDifference(
        own!,
        halved!.map((value) => 2 * value),
      ) < 1e-3,
    );
  });

  it("leave a state that was read out as it is, and keep their moments when it is given back", async () => {
    const job = jobOf({ ...forms[0]!, zeroStage: 1 });
    const rank = await startRank(job);
    const { engine } = rank;
    await engine.loadState({ parameters: stateOf(job), step: 0 });
    const update = async (step: number): Promise<void> => {
      await engine.norm(await gradientOf(rank, job, step));
      await engine.updateShare(place(step));
      await engine.takeWeights();
    };
    await update(1);
    const state = await engine.readState(true);
    const momentsOf = () => [state.firstMoment!.slice(), state.secondMoment!.slice()];
    const before = momentsOf();
    await update(2);
    assert.deepEqual(momentsOf(), before);
    await engine.giveBack(state);
    await update(3);
    const expected = await trainWhole(jobOf(forms[0]!));
    const { parameters, firstMoment } = await engine.readState(true);
    assert.deepEqual(parameters, expected.parameters);
    assert.deepEqual(firstMoment, expected.firstMoment);
  });

  it("have no variables for moments", () => {
    const table = layOutTable(forms[0]!.specs);
    const { optimizer } = jobOf(forms[0]!);
    const purpose = {
      optimizer,
      kernels: true,
      ownProducts: null,
      precision: "fp32",
      gradientCheckpointing: false,
      byRows: new Set<string>(),
    } as const;
    const handles = (zeroStage: 0 | 1): number =>
      assembleGraph(table, [], { ...purpose, zeroStage }).filter(({ op }) => op === "VarHandleOp")
        .length;
    assert.equal(handles(1), table.entries.length);
    assert.equal(handles(0), 3 * table.entries.length);
  });

  it("are refused where a state's moments are not of its share", async () => {
    const job = jobOf({ ...forms[0]!, zeroStage: 1 });
    const { engine } = await startRank(job);
    const state = {
      parameters: stateOf(job),
      step: 0,
      share: [{ start: 0, end: 32 }],
      firstMoment: new Float32Array(16),
    };
    await assert.rejects(
      async () => await engine.loadState(state),
      /16 moments for a share of 32/u,
    );
  });
});
