/**
 * Goal: a large file trains in the memory of a small one. Method: the short form of `npm run bench:data`: a process of its
 * own checks and indexes 10 MB and 120 MB and draws batches from all over them.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { writeLargeTable } from "../../bench/support/large-table.ts";
import { measureData } from "../../bench/support/measure-data.ts";

const megabyte = 1_000_000;
const batches = 50;
/** What the index holds of a record: a byte of length, an offset for every 8 KiB. */
const recordBytesMax = 2;
/** Far below the 110 MB that lie between the files. */
const growthBytesMax = 40 * megabyte;
/** V8 lets its young generation grow to 48 MB with whatever runs for long, files of any size: that is not what is asked. */
const smallYoungGeneration = ["--max-semi-space-size=1"];

describe("a large file", () => {
  it("takes hardly more memory than a small one", async () => {
    const folder = await mkdtemp(join(tmpdir(), "large-file-"));
    const measure = async (megabytes: number) => {
      const file = join(folder, `${megabytes}.tsv`);
      const records = await writeLargeTable(file, megabytes * megabyte);
      const cost = await measureData(file, batches, smallYoungGeneration);
      assert.equal(cost.records, records);
      assert.equal(cost.drawn, batches * 32);
      return cost;
    };
    try {
      const small = await measure(10);
      const large = await measure(120);
      const records = large.records - small.records;
      const held = (large.heldBytes - small.heldBytes) / records;
      assert.ok(held < recordBytesMax, `${held} bytes a record`);
      const growth = large.rssBytes - small.rssBytes;
      assert.ok(growth < growthBytesMax, `${growth} bytes more`);
      const peakGrowth = large.peakBytes - small.peakBytes;
      assert.ok(peakGrowth < growthBytesMax, `${peakGrowth} bytes more at the peak`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
