/**
 * A ring that breaks where the optimiser's state is shared out: while gradients are reduced to their owners, and while the new
 * weights are gathered. A new ring that loads the state goes on from it as if nothing had been.
 */
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import {
  closeStages,
  prepare,
  sendCommit,
  sendRing,
  sendStep,
  setStage,
  trainAll,
  trainInRing,
  type Stage,
} from "../support/worker-stage.ts";

afterEach(closeStages);
after(closeStages);

/** Leaves one rank waiting for the other, which does nothing. Of so few parameters rank 0 owns all. */
const breaks: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  async "are reduced to their owners"(stage) {
    sendStep(stage, 1, { generation: 1n, onlyRank: 0 });
    await stage.seats[0]!.heard(/exchange/u);
  },
  async "have been reduced, and weights are gathered"(stage) {
    sendStep(stage, 1, { generation: 1n });
    for (const seat of stage.seats) await seat.next("stepReduced");
    sendCommit(stage, 1, 1n, { onlyRank: 1 });
    await stage.seats[1]!.heard(/update/u);
  },
};

describe("a step of shared-out state", () => {
  for (const hostIds of [
    ["here", "here"],
    ["here", "there"],
  ]) {
    for (const [when, tear] of Object.entries(breaks)) {
      it(`is forgotten whole when the ring is left while gradients ${when}, on ${new Set(hostIds).size} hosts`, async () => {
        const undisturbed = await setStage(2, { hostIds });
        const expected = await trainAll(undisturbed, 1);
        const stage = await setStage(2, { hostIds });
        await prepare(stage, 1);
        sendRing(stage, 1n);
        for (const seat of stage.seats) await seat.next("ringReady");
        await tear(stage);
        const reports = await trainInRing(stage, 2n);
        assert.deepEqual(
          reports.map(({ tensorHashes, gatheredWeights }) => [tensorHashes, gatheredWeights]),
          expected.map(({ tensorHashes, gatheredWeights }) => [tensorHashes, gatheredWeights]),
        );
        for (const [rank, { parameters }] of stage.engines.entries())
          assert.deepEqual(parameters, undisturbed.engines[rank]!.parameters);
      });
    }
  }

  it("breaks for the others when an owner dies before it has sent its weights", async () => {
    const stage = await setStage(2, { hostIds: ["here", "there"] });
    await prepare(stage, 1);
    sendRing(stage, 1n);
    for (const seat of stage.seats) await seat.next("ringReady");
    sendStep(stage, 1, { generation: 1n });
    for (const seat of stage.seats) await seat.next("stepReduced");
    sendCommit(stage, 1, 1n, { onlyRank: 1 });
    await stage.seats[1]!.heard(/update/u);
    await stage.workers[0]!.close();
    await stage.seats[0]!.left();
    await stage.seats[1]!.heard(/ring broken: worker-0/u);
  });
});
