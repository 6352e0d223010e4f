/** What a run has left of its steps: its journal's lines as they count, its settings, the hash of its final model. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";
import { readJobFile } from "../../foundation/job/job-file.ts";
import { sha256OfFile } from "../../foundation/native/file-hash.ts";
import { readTextFile } from "../commands/read-text-file.ts";
import { readJournal } from "../run/journal.ts";
import type { JournalRecord } from "../run/journal.ts";

type Kind<Name extends JournalRecord["kind"]> = Extract<JournalRecord, { readonly kind: Name }>;

/** A run as it can be compared. */
export interface RunRecord {
  /** As the user named it. */
  readonly folder: string;
  /** Committed steps by number; of a step that was trained again, the later. */
  readonly steps: ReadonlyMap<number, Kind<"step">>;
  /** Steps that went by without an update. */
  readonly skipped: ReadonlySet<number>;
  /** Hashes of the weights by the step after which they were taken. */
  readonly weights: ReadonlyMap<number, Kind<"weights">>;
  /** Names of the tensors of gradients and weights, as the journal's lists have them. */
  readonly names: { readonly gradients: readonly string[]; readonly weights: readonly string[] };
  /** What `job.yaml` says, as text. */
  readonly settings: ReadonlyMap<string, string>;
  /** The rings that computed, in order. */
  readonly rings: readonly Kind<"ring">[];
  /** SHA-256 of `model.safetensors`; null when there is none. */
  readonly model: string | null;
}

/** The lines of a journal that count: what was trained after a point that the run went back to is left out. Pure. */
export function standingRecords(
  records: readonly JournalRecord[],
): Pick<RunRecord, "steps" | "skipped" | "weights" | "names" | "rings"> {
  const steps = new Map<number, Kind<"step">>();
  const skipped = new Set<number>();
  const weights = new Map<number, Kind<"weights">>();
  const rings: Kind<"ring">[] = [];
  let names: RunRecord["names"] = { gradients: [], weights: [] };
  for (const record of records) {
    if (record.kind === "run") {
      names = { gradients: record.tensors, weights: record.weights };
      for (const later of [...steps.keys(), ...skipped, ...weights.keys()]) {
        if (later <= record.fromStep) continue;
        steps.delete(later);
        skipped.delete(later);
        weights.delete(later);
      }
    } else if (record.kind === "step") steps.set(record.step, record);
    else if (record.kind === "skipped") skipped.add(record.step);
    else if (record.kind === "weights") weights.set(record.step, record);
    else if (record.kind === "ring") rings.push(record);
  }
  return { steps, skipped, weights, names, rings };
}

/** Reads a run from its output folder. Throws BadInput for a folder without a run, and for a damaged journal. */
export async function readRun(folder: string, signal: AbortSignal): Promise<RunRecord> {
  const file = join(folder, "journal.jsonl");
  const entry = await stat(file).catch(() => null);
  if (entry?.isFile() !== true) {
    throw new BadInput({
      file: folder,
      expected: "the output folder of a run",
      found: "no journal.jsonl in it",
    });
  }
  const records = await readJournal(file).catch((error: unknown) => {
    throw new BadInput({
      file,
      expected: "a journal of this version, whole",
      found: error instanceof Error ? error.message : String(error),
    });
  });
  const name = join(folder, "job.yaml");
  const entries = readJobFile(await readTextFile(name, "the settings of the run"), name);
  const settings = new Map(entries.map(({ name: key, raw }) => [key, textOf(raw)]));
  const modelFile = join(folder, "model.safetensors");
  const hasModel = (await stat(modelFile).catch(() => null)) !== null;
  const model = hasModel ? await sha256OfFile(modelFile, signal) : null;
  return { folder, ...standingRecords(records), settings, model };
}

function textOf(raw: unknown): string {
  return typeof raw === "string" ? raw : JSON.stringify(raw);
}
