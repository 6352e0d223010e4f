/** Finds the run that goes on, when the user does not name it. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";
import { controlAddressFile } from "../nats/control-address.ts";

/** The only folder under `runs` whose run takes commands. Throws BadInput when there is none, or more than one. */
export async function findRunningFolder(runs: string): Promise<string> {
  const names = await readdir(runs).catch(() => []);
  const folders = names.map((name) => join(runs, name)).sort();
  const found: string[] = [];
  for (const folder of folders) {
    if ((await stat(join(folder, controlAddressFile)).catch(() => null)) !== null)
      found.push(folder);
  }
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new BadInput({
    flag: "--output-dir",
    expected: "the output folder of a run that goes on",
    found:
      only === undefined
        ? `none under ${runs}`
        : `${found.length} under ${runs}: ${found.join(", ")}`,
  });
}
