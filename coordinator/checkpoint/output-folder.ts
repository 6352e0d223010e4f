/** The output folder made ready: there, and free of an earlier run's files where the user allowed that. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isPartial } from "./write-aside.ts";

/** What a run writes; nothing else in the folder is ever touched. */
const ownNames = new Set([
  "model.safetensors",
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "vocab.txt",
  "added_tokens.json",
  "trainer_state.json",
  "job.yaml",
  "run.json",
  "control.json",
  "journal.jsonl",
  "events.jsonl",
  "profile",
  "logs",
  "nats",
]);

/** What only means something while a run goes on: a run that has been killed along with its janitor leaves it. */
const passingNames = new Set(["control.json", "nats"]);

/** Makes the folder. @param clear whether to remove what an earlier run has written there */
export async function prepareOutputFolder(folder: string, clear: boolean): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    const isOwn = ownNames.has(name) || /^checkpoint-\d+$/u.test(name);
    if (passingNames.has(name) || isPartial(name) || (clear && isOwn))
      await rm(join(folder, name), { recursive: true, force: true });
  }
}
