/** The kernels' loops, compiled for every instruction set and run on those that this processor has. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";

const run = promisify(execFile);
const source = fileURLToPath(new URL("instruction-sets.cc", import.meta.url));
const kernels = fileURLToPath(new URL("../../../worker/engine/native/", import.meta.url));
const resultSchema = z.object({
  set: z.string(),
  furthest: z.number(),
  bound: z.number(),
  sameNumbers: z.boolean(),
});

describe("the kernels' loops", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ringmaster-sets-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("come to the same on every instruction set, and draw the same random numbers", async () => {
    const program = join(folder, "instruction-sets");
    const flags = ["-O3", "-fno-math-errno", "-std=c++17", "-w", `-I${kernels}`];
    await run("c++", [...flags, source, "-o", program]);
    const { stdout } = await run(program);
    const results = stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => resultSchema.parse(JSON.parse(line)));
    for (const { set, furthest, bound, sameNumbers } of results) {
      assert.ok(furthest <= bound, `${set} lies ${furthest} from the plain loops`);
      assert.ok(sameNumbers, `${set} draws other numbers`);
    }
  });
});
