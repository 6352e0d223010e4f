/**
 * The truth of a run: an append-only file of what was decided, one JSON object a line, each with a checksum over itself
 * and the line before it, synced to disk before anybody acts on it. A torn last line is what a crash leaves, and is cut
 * off; any other damage is an error.
 */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { z } from "zod";

const count = z.number().int().nonnegative();

const recordSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("run"),
    run: z.string(),
    /** Step that this part of the journal goes on from; 0 for a fresh run. */
    fromStep: count,
    totalSteps: count,
    tableVersion: z.string(),
    workers: count,
    seed: z.number(),
    /** Names of the tensors whose hashes the steps list, in their order. */
    tensors: z.array(z.string()),
    /** Names of all tensors of the weights, in their order. */
    weights: z.array(z.string()),
  }),
  z.object({
    kind: z.literal("ring"),
    generation: count,
    /** Last committed step when it was formed. */
    step: count,
    /** Threads that compute in each worker; null when TensorFlow chose them. */
    threads: count.nullable(),
    /** In rank order: who computes from here on, and on what. */
    members: z.array(
      z.object({ workerId: z.string(), environment: z.record(z.string(), z.string()) }),
    ),
  }),
  z.object({
    kind: z.literal("step"),
    step: count,
    generation: count,
    attempt: count,
    loss: z.number(),
    weight: z.number(),
    gradNorm: z.number(),
    learningRate: z.number(),
    samples: count,
    /** Factor of the loss, in half precision. */
    lossScale: z.number().optional(),
    /** Hash of each tensor of the reduced gradient (XXH64, 16 hexadecimal digits), the same on all ranks. */
    tensors: z.array(z.string()),
  }),
  z.object({
    /** A step that went by without an update. */
    kind: z.literal("skipped"),
    step: count,
    generation: count,
    attempt: count,
    samples: count,
    /** Factor of the loss, with which the gradient was not finite. */
    lossScale: z.number(),
    reason: z.string(),
  }),
  z.object({
    kind: z.literal("command"),
    id: z.string(),
    verb: z.string(),
    /** First step that it concerns. */
    step: count,
    value: z.number().nullable(),
  }),
  z.object({
    kind: z.literal("evaluation"),
    step: count,
    split: z.string(),
    metrics: z.record(z.string(), z.number()),
    samples: count,
  }),
  z.object({
    kind: z.literal("weights"),
    /** Step after whose update they were hashed. */
    step: count,
    /** Hash of each tensor of the weights, the same on all ranks. */
    tensors: z.array(z.string()),
  }),
  z.object({ kind: z.literal("checkpoint"), step: count, folder: z.string() }),
  z.object({ kind: z.literal("end"), step: count, outcome: z.string(), reason: z.string() }),
]);

/** One decision. */
export type JournalRecord = z.infer<typeof recordSchema>;

const lineSchema = z.object({ checksum: z.string(), record: recordSchema });

const checksumCharacters = 16;
const firstChecksum = "0".repeat(checksumCharacters);

function checksumOf(previous: string, record: unknown): string {
  const hash = createHash("sha256").update(previous).update(JSON.stringify(record));
  return hash.digest("hex").slice(0, checksumCharacters);
}

/** What a journal file holds. */
interface JournalContent {
  readonly records: readonly JournalRecord[];
  /** Checksum of the last line. */
  readonly checksum: string;
  /** Bytes up to the end of the last whole line. */
  readonly bytes: number;
}

/** Reads the lines of a journal. Throws when a line other than a torn last one is damaged. */
export function parseJournal(text: string, file: string): JournalContent {
  const records: JournalRecord[] = [];
  let checksum = firstChecksum;
  let bytes = 0;
  const lines = text.split("\n");
  const torn = lines.pop() ?? "";
  for (const [index, line] of lines.entries()) {
    const record = recordOf(line, checksum);
    if (record === null) {
      const isLast = index === lines.length - 1 && torn === "";
      if (isLast) break;
      throw new Error(`Cannot read journal ${file}: line ${index + 1} is damaged`);
    }
    records.push(record.record);
    checksum = record.checksum;
    bytes += Buffer.byteLength(line) + 1;
  }
  return { records, checksum, bytes };
}

function recordOf(line: string, previous: string): z.infer<typeof lineSchema> | null {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return null;
  }
  const parsed = lineSchema.safeParse(json);
  if (!parsed.success) return null;
  const { record } = json as { record: unknown };
  return checksumOf(previous, record) === parsed.data.checksum ? parsed.data : null;
}

/** Reads all records of a journal file; none when there is no file. */
export async function readJournal(file: string): Promise<readonly JournalRecord[]> {
  return (await readContent(file)).records;
}

async function readContent(file: string): Promise<JournalContent> {
  let handle: FileHandle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return { records: [], checksum: firstChecksum, bytes: 0 };
  }
  try {
    return parseJournal(await handle.readFile("utf8"), file);
  } finally {
    await handle.close();
  }
}

/** An open journal; one writer at a time. */
export class Journal {
  readonly #handle: FileHandle;
  #checksum: string;
  #writing: Promise<void> = Promise.resolve();

  private constructor(handle: FileHandle, checksum: string) {
    this.#handle = handle;
    this.#checksum = checksum;
  }

  /** Opens a journal to go on with; makes the file when there is none. */
  static async open(file: string): Promise<Journal> {
    const { checksum, bytes } = await readContent(file);
    const handle = await open(file, "a");
    await handle.truncate(bytes);
    return new Journal(handle, checksum);
  }

  /** Appends a record; resolves once it is on disk. */
  append(record: JournalRecord): Promise<void> {
    const checksum = checksumOf(this.#checksum, record);
    this.#checksum = checksum;
    const line = `${JSON.stringify({ checksum, record })}\n`;
    const written = this.#writing.then(async () => {
      // All of it: a plain `write` may write less, and say so.
      await this.#handle.appendFile(line);
      await this.#handle.datasync();
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Closes the file once everything is on disk. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#handle.close();
  }
}
