/**
 * Where records begin and end in the bytes of a file, without looking further into them. A splitter keeps no state from
 * record to record, so that it can start at any record's first byte.
 */
import { RowProblem } from "./row-problem.ts";

/** Cuts bytes into records. The bytes given always start at the file's, or a record's, first byte. */
export interface RecordSplitter {
  /** Offset of the first record, or −1 when more bytes are needed to tell. `atEnd`: the file has no more bytes. */
  begin(bytes: Buffer, atEnd: boolean): number;
  /**
   * Where the next record begins, that is the end of the one at `start` with what separates the two; −1 when more bytes
   * are needed. Throws RowProblem.
   */
  next(bytes: Buffer, start: number, atEnd: boolean): number;
  /** Where the content of a record that `next` delimited ends, separators left out. */
  contentEnd(bytes: Buffer, start: number, next: number): number;
  /** Whether the file may end behind this record. Throws RowProblem when not. */
  checkLast(bytes: Buffer, start: number, next: number): void;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const tab = 0x09;
const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

function skipByteOrderMark(bytes: Buffer, atEnd: boolean): number {
  if (bytes.length < byteOrderMark.length && !atEnd) return -1;
  return bytes.subarray(0, byteOrderMark.length).equals(byteOrderMark) ? byteOrderMark.length : 0;
}

function lineContentEnd(bytes: Buffer, start: number, next: number): number {
  let end = next;
  if (end > start && bytes[end - 1] === lineFeed) end -= 1;
  if (end > start && bytes[end - 1] === carriageReturn) end -= 1;
  return end;
}

/** One record a line (TSV, JSON lines, plain text); LF or CRLF. */
export const lineSplitter: RecordSplitter = {
  begin: skipByteOrderMark,
  next(bytes, start, atEnd) {
    const end = bytes.indexOf(lineFeed, start);
    if (end !== -1) return end + 1;
    return atEnd ? bytes.length : -1;
  },
  contentEnd: lineContentEnd,
  checkLast: () => undefined,
};

/** Behind the quoted field that opens at `open`: the offset after its closing quote, or −1 when that is not there yet. */
function closeQuotedField(bytes: Buffer, open: number, atEnd: boolean): number {
  let at = open + 1;
  for (;;) {
    const found = bytes.indexOf(quote, at);
    if (found === -1) break;
    // At the end of the bytes nobody knows yet whether a second quote follows.
    if (found + 1 === bytes.length && !atEnd) return -1;
    if (bytes[found + 1] !== quote) return found + 1;
    at = found + 2;
  }
  if (!atEnd) return -1;
  throw new RowProblem({
    expected: 'a closing quote (")',
    found: "the end of the file",
    remedy: 'a quote within a quoted field is written ""',
  });
}

/** CSV after RFC 4180: a field that starts with a quote ends at the quote that stands alone, whatever lines lie between. */
export const csvSplitter: RecordSplitter = {
  begin: skipByteOrderMark,
  next(bytes, start, atEnd) {
    let at = start;
    for (;;) {
      if (bytes[at] === quote) {
        at = closeQuotedField(bytes, at, atEnd);
        if (at === -1) return -1;
      }
      while (at < bytes.length && bytes[at] !== comma && bytes[at] !== lineFeed) at++;
      if (at === bytes.length) return atEnd ? at : -1;
      at += 1;
      if (bytes[at - 1] === lineFeed) return at;
    }
  },
  contentEnd: lineContentEnd,
  checkLast: () => undefined,
};

function isSpace(byte: number | undefined): boolean {
  return byte === space || byte === lineFeed || byte === carriageReturn || byte === tab;
}

function skipSpace(bytes: Buffer, start: number): number {
  let at = start;
  while (isSpace(bytes[at])) at++;
  return at;
}

function describeByte(byte: number | undefined): string {
  return byte === undefined ? "the end of the file" : `"${String.fromCharCode(byte)}"`;
}

/** Behind the string that opens at `open`, or −1 when its closing quote is not there. */
function closeString(bytes: Buffer, open: number): number {
  for (let at = open + 1; at < bytes.length; at++) {
    if (bytes[at] === backslash) at++;
    else if (bytes[at] === quote) return at + 1;
  }
  return -1;
}

/** Behind the object or array that opens at `open`, or −1 when it is not closed. */
function closeNesting(bytes: Buffer, open: number): number {
  let depth = 0;
  for (let at = open; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) {
      at = closeString(bytes, at) - 1;
      if (at < 0) return -1;
    } else if (byte === openBrace || byte === openBracket) depth += 1;
    else if (byte === closeBrace || byte === closeBracket) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

/** A JSON array of objects. A record ends with the comma or bracket behind it. */
export const jsonArraySplitter: RecordSplitter = {
  begin(bytes, atEnd) {
    const mark = skipByteOrderMark(bytes, atEnd);
    if (mark === -1) return -1;
    const open = skipSpace(bytes, mark);
    if (open === bytes.length && !atEnd) return -1;
    if (bytes[open] !== openBracket) {
      throw new RowProblem({
        expected: "an array of objects ([ … ])",
        found: describeByte(bytes[open]),
      });
    }
    const first = skipSpace(bytes, open + 1);
    if (first === bytes.length && !atEnd) return -1;
    return bytes[first] === closeBracket ? bytes.length : first;
  },
  next(bytes, start, atEnd) {
    if (bytes[start] !== openBrace) {
      throw new RowProblem({ expected: "an object ({ … })", found: describeByte(bytes[start]) });
    }
    const end = closeNesting(bytes, start);
    const separator = end === -1 ? bytes.length : skipSpace(bytes, end);
    if (separator === bytes.length) {
      if (!atEnd) return -1;
      const expected = end === -1 ? "a closing brace (})" : 'a comma or "]" after the object';
      throw new RowProblem({ expected, found: "the end of the file" });
    }
    if (bytes[separator] !== comma && bytes[separator] !== closeBracket) {
      const found = describeByte(bytes[separator]);
      throw new RowProblem({ expected: 'a comma or "]" after the object', found });
    }
    const next = skipSpace(bytes, separator + 1);
    if (next === bytes.length) return atEnd ? next : -1;
    if (bytes[separator] === comma) return next;
    throw new RowProblem({ expected: 'nothing after "]"', found: describeByte(bytes[next]) });
  },
  contentEnd: (bytes, start, next) => bytes.lastIndexOf(closeBrace, next - 1) + 1 || start,
  checkLast(bytes, start, next) {
    const separator = skipSpace(bytes, this.contentEnd(bytes, start, next));
    if (bytes[separator] === closeBracket) return;
    throw new RowProblem({ expected: 'a closing "]"', found: "the end of the file" });
  },
};

/** A `.json` file: an array of objects, or, as many files of that name are, one object a line. */
export function createJsonSplitter(): RecordSplitter {
  let chosen = jsonArraySplitter;
  return {
    begin(bytes, atEnd) {
      const mark = skipByteOrderMark(bytes, atEnd);
      const first = mark === -1 ? bytes.length : skipSpace(bytes, mark);
      if (first === bytes.length && !atEnd) return -1;
      if (bytes[first] !== openBrace) return jsonArraySplitter.begin(bytes, atEnd);
      chosen = lineSplitter;
      return first;
    },
    next: (bytes, start, atEnd) => chosen.next(bytes, start, atEnd),
    contentEnd: (bytes, start, next) => chosen.contentEnd(bytes, start, next),
    checkLast: (bytes, start, next) => chosen.checkLast(bytes, start, next),
  };
}
