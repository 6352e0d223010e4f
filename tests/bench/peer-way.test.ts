/** Goal: a peer is run at the fastest of the settings that were tried. Method: made-up times for each way. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseWay, type PeerWay } from "./support/peer-way.ts";

const choices = {
  threads: [2, 4, 1],
  allocators: ["default", "ours"] as const,
  compile: [false, true],
};

/** Tries ways whose time is a sum of what each setting costs; gives the chosen one and all that were tried. */
async function choose(costs: Readonly<Record<string, number>>) {
  const tried: PeerWay[] = [];
  const chosen = await chooseWay(choices, (way) => {
    tried.push(way);
    const names = [String(way.threads), way.allocator, way.compile ? "compiled" : "eager"];
    return Promise.resolve(names.reduce((sum, name) => sum + (costs[name] ?? 0), 0));
  });
  return { chosen, tried };
}

describe("the fastest way to run a peer", () => {
  it("is the best of each setting, tried with the best of those before it", async () => {
    const { chosen, tried } = await choose({ 2: 9, 4: 5, 1: 7, default: 3, compiled: 1, eager: 2 });
    assert.deepEqual(chosen, { threads: 4, allocator: "ours", compile: true });
    assert.deepEqual(
      tried.slice(3).map(({ threads }) => threads),
      [4, 4],
    );
  });

  it("keeps what it began with where nothing is faster", async () => {
    const { chosen } = await choose({ 4: 1, 1: 1, ours: 1, compiled: 1 });
    assert.deepEqual(chosen, { threads: 2, allocator: "default", compile: false });
    const { chosen: equal } = await choose({});
    assert.deepEqual(equal, { threads: 2, allocator: "default", compile: false });
  });

  it("measures nothing where there is nothing to choose from", async () => {
    const only = { threads: [3], allocators: ["ours"] as const, compile: [false] };
    const way = await chooseWay(only, () => Promise.reject(new Error("measured")));
    assert.deepEqual(way, { threads: 3, allocator: "ours", compile: false });
  });
});
