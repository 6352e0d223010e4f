/** A process that prepares a job's programs once and prints where they came from; for tests of the programs' cache. */
import { createModel } from "../../worker/model/families.ts";
import type { PrepareOptions } from "../../worker/engine/engine.ts";
import { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";

const [, , bindingFile = "", jobJson = ""] = process.argv;
// Only tests start this, with options that they have made.
const job = JSON.parse(jobJson) as Omit<PrepareOptions, "seed">;
const engine = new TfjsEngine(
  bindingFile,
  (options) => createModel(options.family, options),
  () => performance.now(),
);
const { fromCache, reductionSize } = await engine.prepare({ ...job, seed: 1n });
await engine.close();
process.stdout.write(`${JSON.stringify({ fromCache, reductionSize })}\n`);
