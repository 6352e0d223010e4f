// A process of the lock's tests: `count-under-lock.ts LOCK COUNTER ROUNDS` adds 1 to a number in a file, again and again,
// each time under the lock; with ROUNDS 0 it takes the lock, says so and holds it until it is killed.
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { withProcessLock } from "../../../foundation/cache/process-lock.ts";

const [lockFile = "", counterFile = "", rounds = "0"] = process.argv.slice(2);
const options = { signal: new AbortController().signal, pollMs: 2 };

if (rounds === "0") {
  await withProcessLock(lockFile, options, async () => {
    process.stdout.write("held\n");
    for (;;) await sleep(1_000);
  });
}
for (let round = 0; round < Number(rounds); round++) {
  await withProcessLock(lockFile, options, async () => {
    const count = Number(await readFile(counterFile, "utf8"));
    await sleep(1);
    await writeFile(counterFile, String(count + 1));
  });
}
