/**
 * Early stopping, the best model at the end and the limit of checkpoints on a real run, beside the rules of transformers
 * 4.57: EarlyStoppingCallback.check_metric_value, Trainer._determine_best_metric, Trainer._sorted_checkpoints.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readJournal } from "../../coordinator/run/journal.ts";
import { hashOf, startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const patience = 2;
const settings = [
  "eval-strategy: steps",
  "eval-steps: 2",
  "save-strategy: steps",
  "save-steps: 2",
  "save-total-limit: 2",
  "load-best-model-at-end: true",
  `early-stopping-patience: ${patience}`,
  // So high that the loss rises again soon.
  "learning-rate: 0.02",
  "lr-scheduler-type: constant",
];

interface Evaluation {
  readonly step: number;
  readonly loss: number;
}

/** What transformers makes of these evaluations, one after the other. */
function judged(evaluations: readonly Evaluation[]) {
  let best: Evaluation | null = null;
  let waited = 0;
  let stopsAt: number | null = null;
  for (const evaluation of evaluations) {
    const isBetter: boolean = best === null || evaluation.loss < best.loss;
    waited = isBetter ? 0 : waited + 1;
    if (isBetter) best = evaluation;
    if (waited >= patience) stopsAt ??= evaluation.step;
  }
  return { best, stopsAt };
}

describe("the best model", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "best-"));
    await writeFile(join(folder, "job.yaml"), await writeTinyJob(folder, settings));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("is what remains of a run that stopped early, by transformers' rules", async () => {
    const output = join(folder, "out");
    const job = ["train", join(folder, "job.yaml"), "--workers", "1", "--output-dir", output];
    const run = startRun(job);
    assert.equal(await run.ended, 0, run.text());
    const text = await readFile(join(output, "trainer_state.json"), "utf8");
    const state = JSON.parse(text) as {
      readonly log_history: readonly Record<string, number>[];
    } & Record<string, unknown>;
    const evaluations = state.log_history.flatMap((entry) => {
      const { step = 0, eval_loss: loss } = entry;
      return loss === undefined ? [] : [{ step, loss }];
    });
    const { best, stopsAt } = judged(evaluations);
    assert.ok(best !== null && stopsAt !== null, run.text());
    assert.equal(evaluations.at(-1)?.step, stopsAt, "it stops when patience ends, no later");
    assert.equal(state["global_step"], stopsAt);
    assert.equal(state["best_global_step"], best.step);
    assert.equal(state["best_metric"], best.loss);
    const checkpoint = join(output, `checkpoint-${best.step}`);
    assert.equal(state["best_model_checkpoint"], checkpoint);
    const end = (await readJournal(join(output, "journal.jsonl"))).at(-1);
    assert.ok(end?.kind === "end" && end.outcome === "stopped");
    assert.match(end.reason, /loss has not improved for 2 evaluations/u);

    const names = (await readdir(output)).filter((name) => name.startsWith("checkpoint-"));
    assert.deepEqual(
      names.toSorted(),
      [`checkpoint-${best.step}`, `checkpoint-${stopsAt}`].toSorted(),
    );
    const weights = (of: string): Promise<string> => hashOf(join(of, "model.safetensors"));
    assert.equal(await weights(output), await weights(checkpoint));
    assert.notEqual(await weights(output), await weights(join(output, `checkpoint-${stopsAt}`)));
  });
});
