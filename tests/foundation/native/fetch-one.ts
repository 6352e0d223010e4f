// A process of the set-up's tests: `fetch-one.ts CACHE PIN` fetches a wheel as the set-up does. It prints what went wrong
// as `kind: message`, and what is left in the cache's downloads.
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fetchWheel } from "../../../foundation/native/fetch-wheel.ts";
import { asOnlySetup } from "../../../foundation/native/only-setup.ts";
import type { PinnedWheel } from "../../../foundation/native/pins.ts";
import { createProgressSink } from "../../../foundation/native/progress.ts";
import { SetupProblem } from "../../../foundation/native/setup-problem.ts";

const [cache = "", pin = "{}"] = process.argv.slice(2);
const wheel: PinnedWheel = JSON.parse(pin);
const progress = createProgressSink({
  output: { write: () => true },
  isTerminal: false,
  now: () => 0,
});
const context = { env: process.env, cache, progress, signal: new AbortController().signal };
try {
  await mkdir(cache, { recursive: true });
  await asOnlySetup(context, async () => void (await fetchWheel(wheel, context)));
} catch (error) {
  if (!(error instanceof SetupProblem)) throw error;
  console.log(`${error.kind}: ${error.message}`);
}
console.log(`left: ${(await readdir(join(cache, "downloads")).catch(() => [])).join(" ")}`);
