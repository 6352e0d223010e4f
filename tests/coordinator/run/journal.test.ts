import assert from "node:assert/strict";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Journal, readJournal } from "../../../coordinator/run/journal.ts";

const checkpoint = (step: number) =>
  ({ kind: "checkpoint", step, folder: `checkpoint-${step}` }) as const;

describe("journal", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "journal-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("keeps records over openings and cuts off a torn last line", async () => {
    const file = join(folder, "torn.jsonl");
    for (const step of [1, 2]) {
      const journal = await Journal.open(file);
      await journal.append(checkpoint(step));
      await journal.close();
      await appendFile(file, '{"checksum":"torn');
    }
    assert.deepEqual(await readJournal(file), [checkpoint(1), checkpoint(2)]);
  });

  it("refuses a line that was changed", async () => {
    const file = join(folder, "changed.jsonl");
    const journal = await Journal.open(file);
    for (const step of [1, 2, 3]) await journal.append(checkpoint(step));
    await journal.close();
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace("checkpoint-2", "checkpoint-7"));
    await assert.rejects(readJournal(file), /line 2 is damaged/u);
  });
});
