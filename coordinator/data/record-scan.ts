/**
 * One pass over a file's bytes that finds each record, its line and its text. Memory is bounded by one chunk and the
 * longest record; strict UTF-8.
 */
import { isUtf8 } from "node:buffer";
import { BadInput } from "../../foundation/bad-input.ts";
import type { RecordSplitter } from "./record-splitter.ts";
import { RowProblem, placeProblem } from "./row-problem.ts";

/** A record where it was found. */
export interface FoundRecord {
  readonly text: string;
  /** Its first line, from 1. */
  readonly line: number;
  /** Byte offsets in the file, separators included. */
  readonly start: number;
  readonly end: number;
}

/** What is scanned. */
export interface ScanInput {
  /** As the user named it. */
  readonly file: string;
  readonly chunks: AsyncIterable<Buffer>;
  readonly splitter: RecordSplitter;
  /** Whether the file's numbers are lines, or rows of a table that was turned into lines. */
  readonly unit: "line" | "row";
}

/** A longer one is taken for a mistake, such as a quote that is never closed. */
export const recordBytesMax = 64 * 1024 * 1024;
const lineFeed = 0x0a;

function countLines(bytes: Buffer, start: number, end: number): number {
  let count = 0;
  for (let at = bytes.indexOf(lineFeed, start); at !== -1 && at < end;) {
    count += 1;
    at = bytes.indexOf(lineFeed, at + 1);
  }
  return count;
}

/** Where strict decoding fails first; null for valid UTF-8. */
function firstBrokenByte(bytes: Buffer): number | null {
  if (isUtf8(bytes)) return null;
  const replacement = "\ufffd";
  const lenient = bytes.toString("utf8");
  let offset = 0;
  for (const character of lenient) {
    const isReal = bytes.subarray(offset, offset + 3).equals(Buffer.from(replacement));
    if (character === replacement && !isReal) return offset;
    offset += Buffer.byteLength(character);
  }
  return 0;
}

/** Strict decoding. Throws RowProblem that names the broken byte. */
function decode(bytes: Buffer): string {
  const broken = firstBrokenByte(bytes);
  if (broken === null) return bytes.toString("utf8");
  const byte = (bytes[broken] ?? 0).toString(16).toUpperCase().padStart(2, "0");
  const character = bytes.subarray(0, broken).toString("utf8").length + 1;
  const isUtf16 = broken === 0 && (byte === "FF" || byte === "FE");
  throw new RowProblem({
    expected: "UTF-8",
    found: `the byte 0x${byte} at character ${character}`,
    remedy: isUtf16 ? "the file looks like UTF-16: save it as UTF-8" : "save the file as UTF-8",
  });
}

/** Finds one record after the other in the bytes it is fed. */
class Scanner {
  private readonly input: ScanInput;
  private readonly onRecord: (record: FoundRecord) => void;
  private begun = false;
  private line = 1;
  /** Line of an empty record that only the end of the file may follow. */
  private blankLine: number | null = null;
  /** Where the bytes at hand start in the file. */
  private base = 0;

  constructor(input: ScanInput, onRecord: (record: FoundRecord) => void) {
    this.input = input;
    this.onRecord = onRecord;
  }

  /** Takes what records it can; returns the bytes it could not use yet. */
  feed(bytes: Buffer, atEnd: boolean): Buffer {
    try {
      const used = this.takeRecords(bytes, atEnd);
      if (bytes.length - used > recordBytesMax) {
        const expected = `records of at most ${recordBytesMax} bytes`;
        throw new RowProblem({ expected, found: "a longer one" });
      }
      this.base += used;
      return bytes.subarray(used);
    } catch (error) {
      throw placeProblem(error, {
        file: this.input.file,
        line: this.line,
        unit: this.input.unit,
      });
    }
  }

  private takeRecords(bytes: Buffer, atEnd: boolean): number {
    const { splitter } = this.input;
    let start = 0;
    if (!this.begun) {
      if (atEnd && bytes.length === 0) return 0;
      start = splitter.begin(bytes, atEnd);
      if (start === -1) return 0;
      this.begun = true;
      this.line += countLines(bytes, 0, start);
    }
    while (start < bytes.length) {
      const next = splitter.next(bytes, start, atEnd);
      if (next === -1) return start;
      this.takeRecord(bytes, start, next);
      if (atEnd && next === bytes.length) splitter.checkLast(bytes, start, next);
      this.line += countLines(bytes, start, next);
      start = next;
    }
    return start;
  }

  private takeRecord(bytes: Buffer, start: number, next: number): void {
    const end = this.input.splitter.contentEnd(bytes, start, next);
    if (end === start) {
      this.blankLine ??= this.line;
      return;
    }
    if (this.blankLine !== null) {
      this.line = this.blankLine;
      throw new RowProblem({ expected: "a record", found: "an empty line" });
    }
    const text = decode(bytes.subarray(start, end));
    this.onRecord({ text, line: this.line, start: this.base + start, end: this.base + next });
  }
}

/**
 * Calls `onRecord` for each record in file order. Empty lines are allowed at the file's end only. A RowProblem, of its own
 * or thrown by `onRecord`, becomes a BadInput with file and line (a record's first).
 */
export async function scanRecords(
  input: ScanInput,
  onRecord: (record: FoundRecord) => void,
): Promise<void> {
  const scanner = new Scanner(input, onRecord);
  let rest: Buffer = Buffer.alloc(0);
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  for await (const chunk of input.chunks) {
    waiting.push(chunk);
    waitingBytes += chunk.length;
    // A record longer than a chunk is looked at again only when twice as much is there.
    if (waitingBytes < rest.length) continue;
    rest = scanner.feed(
      rest.length === 0 && waiting.length === 1 ? chunk : Buffer.concat([rest, ...waiting]),
      false,
    );
    waiting = [];
    waitingBytes = 0;
  }
  const unused = scanner.feed(Buffer.concat([rest, ...waiting]), true);
  if (unused.length > 0) {
    throw new BadInput({ file: input.file, expected: "a whole record at the end of the file" });
  }
}
