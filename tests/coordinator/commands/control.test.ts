import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseControl } from "../../../coordinator/commands/control.ts";
import { findRunningFolder } from "../../../coordinator/commands/running-folder.ts";

describe("parseControl", () => {
  it("takes a verb, and a rate where the verb has one", () => {
    assert.deepEqual(parseControl(["pause"]), { verb: "pause", value: null });
    assert.deepEqual(parseControl(["set-learning-rate", "3e-5"]), {
      verb: "set-learning-rate",
      value: 3e-5,
    });
  });

  it("refuses what is no verb, and values that are missing, wrong or not wanted", () => {
    assert.throws(() => parseControl(["stpo"]), /found stpo \(did you mean stop\?\)/);
    assert.throws(() => parseControl(["stop", "3"]), /no value with stop, found 3/);
    for (const value of [undefined, "", " ", "NaN", "-1", "2", "fast"]) {
      const operands = ["set-learning-rate", ...(value === undefined ? [] : [value])];
      assert.throws(() => parseControl(operands), /a learning rate from 0 to 1/);
    }
  });
});

describe("findRunningFolder", () => {
  let runs = "";
  before(async () => {
    runs = await mkdtemp(join(tmpdir(), "running-"));
    await mkdir(join(runs, "a"));
    await mkdir(join(runs, "b"));
  });
  after(() => rm(runs, { recursive: true, force: true }));

  it("takes the only run that takes commands, and asks when there are none or several", async () => {
    await assert.rejects(findRunningFolder(runs), /found none under/);
    await writeFile(join(runs, "b", "control.json"), "{}");
    assert.equal(await findRunningFolder(runs), join(runs, "b"));
    await writeFile(join(runs, "a", "control.json"), "{}");
    await assert.rejects(findRunningFolder(runs), /found 2 under .*a, .*b/);
    await assert.rejects(findRunningFolder(join(runs, "none")), /found none under/);
  });
});
