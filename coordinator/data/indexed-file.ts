/** One file of records: a pass that checks every row and makes the index, then reading at random. */
import { BadInput } from "../../foundation/bad-input.ts";
import { estimateLength } from "./estimate-length.ts";
import { createRecordIndexBuilder, type Block, type RecordIndex } from "./record-index.ts";
import { scanRecords, type FoundRecord } from "./record-scan.ts";
import type { Columns } from "./columns.ts";
import type { DataFile } from "./data-files.ts";
import { openRecordSource, type OpenOptions, type RecordSource } from "./open-source.ts";
import { RowProblem, describeValue } from "./row-problem.ts";
import type { RowReader } from "./row-reader.ts";

/** A record's cells, the texts checked, the label as it stands. */
export interface Row {
  readonly text: string;
  readonly textPair: string | undefined;
  readonly label: unknown;
}

/** A file that has been checked and indexed. */
export interface IndexedFile {
  readonly index: RecordIndex;
  /** Rows by their number in this file, in the order asked for. */
  read(records: readonly number[], signal: AbortSignal): Promise<readonly Row[]>;
  close(): Promise<void>;
}

/** What the first pass asks and tells. */
export interface IndexPlan extends OpenOptions {
  /** Called for every row in order. Throws RowProblem for a row that must not be. */
  accept(row: Row, place: { readonly file: string; readonly line: number }): void;
}

/** Neighbouring blocks are read at once up to this size. */
const readBytesMax = 4 * 1024 * 1024;
/** A gap that is read along rather than skipped. */
const gapBytesMax = 64 * 1024;
const readsAtOnce = 8;

function textCell(cell: unknown, column: string): string {
  if (typeof cell === "string") return cell;
  throw new RowProblem({ column, expected: "a text", found: describeValue(cell) });
}

function rowOf(record: string, reader: RowReader, columns: Columns): Row {
  const [text, textPair, label] = reader(record);
  return {
    text: textCell(text, columns.text),
    textPair: columns.textPair === null ? undefined : textCell(textPair, columns.textPair),
    label,
  };
}

/** A label's problem is one of the label's column. */
function naming<Result>(column: string | null, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RowProblem) || column === null) throw error;
    throw new RowProblem({ column, ...error.place });
  }
}

interface Layout {
  readonly columns: Columns;
  readonly reader: RowReader;
}

function layOut(source: RecordSource, firstRecord: string, plan: IndexPlan): Layout {
  const names = source.rows.columnsOf(firstRecord);
  const columns = plan.choose(names, source.declaredLabels);
  const wanted = [columns.text, columns.textPair, columns.label];
  return { columns, reader: source.rows.reader(names, wanted) };
}

async function indexRecords(
  file: DataFile,
  source: RecordSource,
  plan: IndexPlan,
): Promise<{ readonly index: RecordIndex; readonly layout: Layout }> {
  const builder = createRecordIndexBuilder();
  const found: { layout: Layout | null } = { layout: null };
  const { splitter, unit } = source;
  const { chunks } = source.bytes;
  const take = ({ text, start, end, line }: FoundRecord): void => {
    const isFirst = found.layout === null;
    const { reader, columns } = (found.layout ??= layOut(source, text, plan));
    if (isFirst && source.rows.hasHeader) return;
    const row = rowOf(text, reader, columns);
    naming(columns.label, () => plan.accept(row, { file: file.path, line }));
    const length = estimateLength(row.text) + estimateLength(row.textPair ?? "");
    builder.add({ start, end, length });
  };
  await scanRecords({ file: file.path, chunks, splitter, unit }, take);
  const index = builder.finish();
  if (found.layout === null || index.recordCount === 0) {
    throw new BadInput({
      file: file.path,
      expected: "records",
      found: found.layout === null ? "none" : "only a header",
    });
  }
  return { index, layout: found.layout };
}

interface WantedBlock {
  readonly block: Block;
  /** Record number and where in the answer it goes. */
  readonly wanted: { readonly record: number; readonly slot: number }[];
}

function groupByBlock(index: RecordIndex, records: readonly number[]): WantedBlock[] {
  const blocks = new Map<number, WantedBlock>();
  records.forEach((record, slot) => {
    const block = index.blockOf(record);
    const group = blocks.get(block.start) ?? { block, wanted: [] };
    group.wanted.push({ record, slot });
    blocks.set(block.start, group);
  });
  return [...blocks.values()].sort((left, right) => left.block.start - right.block.start);
}

/** Blocks that one read fetches: neighbours with small gaps. */
function coalesce(blocks: readonly WantedBlock[]): readonly (readonly WantedBlock[])[] {
  const runs: WantedBlock[][] = [];
  for (const group of blocks) {
    const run = runs.at(-1);
    const first = run?.[0];
    const last = run?.at(-1);
    const joins =
      first !== undefined &&
      last !== undefined &&
      group.block.start - last.block.end <= gapBytesMax &&
      group.block.end - first.block.start <= readBytesMax;
    if (run !== undefined && joins) run.push(group);
    else runs.push([group]);
  }
  return runs;
}

/** The texts of the wanted records of a block. */
function* cutBlock(
  bytes: Buffer,
  { block, wanted }: WantedBlock,
  source: RecordSource,
): Iterable<{ readonly text: string; readonly slot: number }> {
  const sorted = [...wanted].sort((left, right) => left.record - right.record);
  let start = 0;
  let record = block.firstRecord;
  for (const want of sorted) {
    let next = source.splitter.next(bytes, start, true);
    for (; record < want.record; record++) {
      start = next;
      next = source.splitter.next(bytes, start, true);
    }
    const end = source.splitter.contentEnd(bytes, start, next);
    yield { text: bytes.toString("utf8", start, end), slot: want.slot };
  }
}

/**
 * Checks and indexes a file. Rejects with BadInput (file, line, column, expected, found) at the first row that is wrong;
 * the file is closed then.
 */
export async function indexFile(file: DataFile, plan: IndexPlan): Promise<IndexedFile> {
  const source = await openRecordSource(file, plan);
  try {
    const { index, layout } = await indexRecords(file, source, plan);
    return {
      index,
      async read(records, signal) {
        const rows: Row[] = [];
        const runs = coalesce(groupByBlock(index, records));
        const readRun = async (run: readonly WantedBlock[]): Promise<void> => {
          signal.throwIfAborted();
          const start = run[0]?.block.start ?? 0;
          const bytes = await source.bytes.read(start, (run.at(-1)?.block.end ?? start) - start);
          for (const group of run) {
            const { block } = group;
            const blockBytes = bytes.subarray(block.start - start, block.end - start);
            for (const { text, slot } of cutBlock(blockBytes, group, source)) {
              rows[slot] = rowOf(text, layout.reader, layout.columns);
            }
          }
        };
        for (let first = 0; first < runs.length; first += readsAtOnce) {
          await Promise.all(runs.slice(first, first + readsAtOnce).map(readRun));
        }
        return rows;
      },
      close: () => source.bytes.close(),
    };
  } catch (error) {
    await source.bytes.close();
    throw error;
  }
}
