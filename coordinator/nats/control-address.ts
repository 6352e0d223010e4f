/**
 * The file in a run's output folder by which `coordinator control` finds the run's NATS: readable by the user alone, for
 * it holds the operator's credentials; removed when the run ends.
 */
import { open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { BadInput } from "../../foundation/bad-input.ts";

/** Where a run takes commands. */
export interface ControlAddress {
  /** NATS URL with the operator's credentials. */
  readonly url: string;
  readonly run: string;
}

/** The file's name within the output folder. */
export const controlAddressFile = "control.json";

const schema = z.object({ url: z.string(), run: z.string() });

/** Writes the address, mode 0600. @param start mark of the start of the run that it is of */
export async function writeControlAddress(
  folder: string,
  address: ControlAddress,
  start: string,
): Promise<void> {
  const file = join(folder, controlAddressFile);
  await rm(file, { force: true });
  const handle = await open(file, "wx", 0o600);
  try {
    await handle.writeFile(`${JSON.stringify({ ...address, start })}\n`);
  } finally {
    await handle.close();
  }
}

/** Reads the address of a run that goes on. Throws BadInput for a folder without one. */
export async function readControlAddress(folder: string): Promise<ControlAddress> {
  const file = join(folder, controlAddressFile);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch {
    throw new BadInput({
      file,
      expected: "the address of a run that goes on",
      found: "no such file",
      remedy: "give the output folder of a running job, or --nats and --run",
    });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    throw new BadInput({ file, expected: `JSON with "url" and "run"`, found: text.slice(0, 40) });
  }
}

/** Removes the address; a missing one is fine. */
export async function removeControlAddress(folder: string): Promise<void> {
  await rm(join(folder, controlAddressFile), { force: true });
}
