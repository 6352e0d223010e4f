/** What the files of an output folder say of its run. A file that is missing or half-written says nothing. */
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readJobFile } from "../../foundation/job/job-file.ts";
import { controlAddressFile } from "../nats/control-address.ts";
import { livingCoordinator } from "../run/run-file.ts";
import { lastCheckpoint } from "./find-checkpoint.ts";

/** One run. */
export interface RunSummary {
  readonly folder: string;
  readonly job: string;
  readonly model: string;
  /** `completed`, `stopped`, `interrupted`, `failed`, `running`, or `crashed` for one whose coordinator ended without a word. */
  readonly state: string;
  readonly step: number;
  /** 0 when it is not known. */
  readonly totalSteps: number;
  /** The metric for the best model, and its best value; null before the first evaluation. */
  readonly metric: string;
  readonly best: number | null;
  readonly startedAt: string | null;
}

const tailBytes = 65_536;
const counter = z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)]);
const eventSchema = z.object({
  type: z.string(),
  time: z.string(),
  data: z.object({
    step: counter.optional(),
    totalSteps: counter.optional(),
    outcome: z.string().optional(),
  }),
});
type RunEvent = z.infer<typeof eventSchema>;

const stateSchema = z.object({
  global_step: z.number(),
  max_steps: z.number(),
  log_history: z.array(z.record(z.string(), z.unknown())),
});
type TrainerState = z.infer<typeof stateSchema>;

function eventsIn(text: string): RunEvent[] {
  return text.split("\n").flatMap((line) => {
    try {
      const event = eventSchema.safeParse(JSON.parse(line));
      return event.success ? [event.data] : [];
    } catch {
      return [];
    }
  });
}

/** The events at the file's two ends. */
async function eventsOf(folder: string): Promise<RunEvent[]> {
  const handle = await open(join(folder, "events.jsonl")).catch(() => null);
  if (handle === null) return [];
  try {
    const { size } = await handle.stat();
    const read = async (position: number): Promise<string> => {
      const buffer = Buffer.alloc(Math.min(tailBytes, size));
      await handle.read(buffer, 0, buffer.length, position);
      return buffer.toString("utf8");
    };
    const head = await read(0);
    return size <= tailBytes
      ? eventsIn(head)
      : eventsIn(head + "\n" + (await read(size - tailBytes)));
  } finally {
    await handle.close();
  }
}

async function trainerStateOf(folder: string): Promise<TrainerState | null> {
  const checkpoint = await lastCheckpoint(folder);
  for (const place of [folder, checkpoint]) {
    if (place === null) continue;
    try {
      const text = await readFile(join(place, "trainer_state.json"), "utf8");
      return stateSchema.parse(JSON.parse(text));
    } catch {
      continue;
    }
  }
  return null;
}

async function jobValues(folder: string): Promise<ReadonlyMap<string, string>> {
  try {
    const entries = readJobFile(await readFile(join(folder, "job.yaml"), "utf8"), "job.yaml");
    return new Map(
      entries.flatMap(({ name, raw }) => (typeof raw === "string" ? [[name, raw]] : [])),
    );
  } catch {
    return new Map();
  }
}

function bestOf(
  state: TrainerState | null,
  metric: string,
  greaterIsBetter: boolean,
): number | null {
  const values = (state?.log_history ?? []).flatMap((entry) => {
    const value = entry[`eval_${metric}`];
    return typeof value === "number" ? [value] : [];
  });
  if (values.length === 0) return null;
  return greaterIsBetter ? Math.max(...values) : Math.min(...values);
}

/** Whether the run takes commands and its coordinator is a process of this machine. */
export async function isRunning(folder: string): Promise<boolean> {
  const entry = await stat(join(folder, controlAddressFile)).catch(() => null);
  return entry !== null && (await livingCoordinator(folder)) !== null;
}

/** The run of an output folder, or null when the folder holds none. */
export async function summarizeRun(folder: string): Promise<RunSummary | null> {
  const [job, events, state] = await Promise.all([
    jobValues(folder),
    eventsOf(folder),
    trainerStateOf(folder),
  ]);
  if (events.length === 0 && state === null) return null;
  const started = events.findLast(({ type }) => type.endsWith(".RunStarted"));
  const since = events.slice(started === undefined ? 0 : events.indexOf(started));
  const ended = since.findLast(({ type }) => type.endsWith(".RunEnded"))?.data.outcome;
  const isOpen = ended === undefined && (await isRunning(folder));
  const metric = job.get("metric-for-best-model") ?? "loss";
  const steps = events.map(({ data }) => data.step ?? 0);
  return {
    folder,
    job: job.get("job") ?? "",
    model: job.get("model") ?? "",
    state: ended ?? (isOpen ? "running" : "crashed"),
    step: Math.max(state?.global_step ?? 0, ...steps),
    totalSteps: started?.data.totalSteps ?? state?.max_steps ?? 0,
    metric,
    best: bestOf(state, metric, job.get("greater-is-better") === "true"),
    startedAt: started?.time ?? null,
  };
}
