import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { decideStep } from "../../../coordinator/server/commit.ts";
import {
  admit,
  dismiss,
  emptyMembership,
  expired,
  heard,
} from "../../../coordinator/server/membership.ts";
import { NonceBook } from "../../../coordinator/server/nonce-book.ts";
import { planRing } from "../../../coordinator/server/ring-plan.ts";
import { judgeMachines } from "../../../coordinator/server/same-machines.ts";
import { StepReducedSchema, type StepReduced } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { makeProof, makeRingProof, verifyProof, verifyRingProof } from "../../../proto/auth.ts";
import { nonceLifetimeMs, pendingNoncesMax } from "../../../proto/limits.ts";

const candidate = {
  ringAddress: "127.0.0.1:1",
  hostId: "a",
  processId: 1,
  metricsAddress: "",
  environment: {},
};

function seated(workerId: string, hostId: string) {
  return { ...candidate, workerId, hostId, incarnation: 1n, lastHeardMs: 0 };
}

describe("membership", () => {
  it("names, counts incarnations, and refuses with a reason", () => {
    const places = { seats: 1, wantedId: null, nowMs: 0 };
    const first = admit(emptyMembership, candidate, places);
    assert.ok(first.kind === "admitted" && first.member.workerId === "worker-0");
    const full = admit(first.membership, candidate, places);
    assert.deepEqual(full, { kind: "refused", reason: "the run has all of its 1 workers" });
    const again = admit(dismiss(first.membership, "worker-0"), candidate, places);
    assert.ok(again.kind === "admitted" && again.member.incarnation === 2n);
  });

  it("ends the lease of whoever is silent", () => {
    const joined = admit(emptyMembership, candidate, { seats: 1, wantedId: null, nowMs: 0 });
    assert.ok(joined.kind === "admitted");
    assert.deepEqual(expired(heard(joined.membership, "worker-0", 900), 1000, 500), []);
    const [departure] = expired(joined.membership, 1000, 500);
    assert.equal(departure?.reason, "nothing heard for 1.0 s, the lease is 0.5 s");
  });
});

describe("ring plan", () => {
  it("puts workers of one host side by side, by number", () => {
    const members = [
      seated("worker-10", "b"),
      seated("worker-2", "a"),
      seated("worker-1", "b"),
      seated("worker-3", "a"),
    ];
    const order = planRing(members, 1n, "test").members.map(({ workerId }) => workerId);
    assert.deepEqual(order, ["worker-1", "worker-10", "worker-2", "worker-3"]);
  });
});

describe("commit", () => {
  const report = (values: object) =>
    create(StepReducedSchema, { lossSum: 8, weight: 4, gradNorm: 1, ...values });

  it("waits for every rank, then commits the mean", () => {
    const names = { workers: ["worker-0", "worker-1"], tensors: ["a", "b"] };
    const reports = new Map([[0, report({ tensorHashes: [255n, 1n << 63n] })]]);
    assert.deepEqual(decideStep(reports, names), { kind: "pending", missingRanks: [1] });
    reports.set(1, report({ tensorHashes: [255n, 1n << 63n] }));
    const tensors = ["00000000000000ff", "8000000000000000"];
    const committed = { kind: "committed", loss: 2, weight: 4, gradNorm: 1, tensors };
    assert.deepEqual(decideStep(reports, names), committed);
  });

  it("voids what differs and what is no number, each with its reason", () => {
    const decide = (reports: readonly StepReduced[]) =>
      decideStep(new Map(reports.entries()), {
        workers: reports.map((_, rank) => `worker-${rank}`),
        tensors: ["a", "b"],
      });
    const hashed = (...tensorHashes: bigint[]) => report({ tensorHashes });
    assert.deepEqual(decide([hashed(1n, 2n), hashed(1n, 2n), hashed(1n, 3n)]), {
      kind: "void",
      cause: "diverged",
      reason:
        "worker-2 (rank 2) has another gradient of b than worker-0 (rank 0) and worker-1 (rank 1)",
      ranks: [2],
    });
    assert.deepEqual(decide([hashed(1n, 2n), report({ tensorHashes: [1n, 2n], lossSum: 9 })]), {
      kind: "void",
      cause: "diverged",
      reason:
        "worker-0 (rank 0) and worker-1 (rank 1) do not have the same loss, and no majority tells which is right",
      ranks: [0, 1],
    });
    const gathered = [1n, 1n, 2n].map((gatheredWeights) => report({ gatheredWeights }));
    assert.deepEqual(decide(gathered), {
      kind: "void",
      cause: "diverged",
      reason:
        "worker-2 (rank 2) has another copy of the weights after the step before than worker-0 (rank 0) and worker-1 (rank 1)",
      ranks: [2],
    });
    const wrong = decide([report({ wrongOwners: [1] }), report({ wrongOwners: [1] })]);
    assert.ok(wrong.kind === "void" && wrong.cause === "diverged");
    assert.match(wrong.reason, /part of the sum that worker-1 \(rank 1\) should have is not/u);
    assert.deepEqual(wrong.ranks, [1]);
    const norms = new Map([report({}), report({ gradNorm: 1.5 })].entries());
    const names = { workers: ["worker-0", "worker-1"], tensors: [] };
    assert.equal(decideStep(norms, names).kind, "void");
    const mixed = decideStep(norms, { ...names, mixedNorms: true });
    assert.deepEqual(mixed.kind === "committed" && mixed.gradNorm, 1, "rank 0's");
    assert.deepEqual(decide([report({ lossSum: Number.NaN })]), {
      kind: "void",
      cause: "not-finite",
      reason: "the loss is NaN",
    });
  });
});

describe("machines", () => {
  const machine = (workerId: string, gradient: bigint, update: bigint) => ({
    workerId,
    environment: { cpu: `cpu of ${workerId}`, tensorflow: "2" },
    selfTest: { gradient, update },
  });

  it("are the same, refused, or mixed when that is allowed; updates must agree unless they have owners", () => {
    const same = [machine("a", 1n, 1n), machine("b", 1n, 1n)];
    const allowed = { allowMixed: true, hasOwners: true };
    const forbidden = { allowMixed: false, hasOwners: true };
    assert.deepEqual(judgeMachines(same, forbidden), { kind: "same" });
    const mixed = [...same, machine("c", 2n, 1n)];
    const reason = "another gradient from c than from a and b";
    assert.deepEqual(judgeMachines(mixed, forbidden), { kind: "refused", reason });
    assert.deepEqual(judgeMachines(mixed, allowed), { kind: "mixed", reason });
    const drifting = [...mixed, machine("d", 1n, 2n)];
    const both = `${reason} and d, and another update from d than from a and b and c`;
    assert.deepEqual(judgeMachines(drifting, allowed), { kind: "mixed", reason: both });
    assert.equal(judgeMachines(drifting, { ...allowed, hasOwners: false }).kind, "drifting");
    assert.equal(judgeMachines(drifting, { allowMixed: false, hasOwners: false }).kind, "refused");
  });

  it("that were not tested are taken as they are", () => {
    const untested = { workerId: "a", environment: {}, selfTest: null };
    const how = { allowMixed: false, hasOwners: false };
    assert.deepEqual(judgeMachines([untested, untested], how), { kind: "same" });
  });
});

describe("nonces", () => {
  it("are good once, for a while, and never more than the limit", () => {
    const book = new NonceBook();
    const nonce = (value: number): Uint8Array => new Uint8Array([value >> 8, value & 255]);
    book.issue(nonce(1), 0);
    assert.equal(book.redeem(nonce(1), 1), true);
    assert.equal(book.redeem(nonce(1), 1), false);
    book.issue(nonce(2), 0);
    assert.equal(book.redeem(nonce(2), nonceLifetimeMs + 1), false);
    for (let value = 0; value < pendingNoncesMax + 10; value++) book.issue(nonce(value), 0);
    assert.equal(book.size, pendingNoncesMax);
    assert.equal(book.redeem(nonce(0), 0), false);
  });
});

describe("proofs", () => {
  it("hold for their claim and key only", () => {
    const nonce = new Uint8Array([1]);
    const claim = { nonce, run: "r", ringAddress: "h:1", hostId: "a" };
    const proof = makeProof("token", claim);
    assert.equal(verifyProof("token", claim, proof), true);
    assert.equal(verifyProof("other", claim, proof), false);
    assert.equal(verifyProof("token", { ...claim, ringAddress: "h:2" }, proof), false);
    assert.equal(verifyProof("token", claim, proof.subarray(1)), false);
    const ring = { workerId: "worker-1", generation: 2n, lane: 0 };
    const ringProof = makeRingProof(nonce, ring);
    assert.equal(verifyRingProof(nonce, ring, ringProof), true);
    assert.equal(verifyRingProof(nonce, { ...ring, generation: 3n }, ringProof), false);
  });
});
