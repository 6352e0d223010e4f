/**
 * Where the records of a file lie, in about two bytes a record. Not each record's offset is kept but that of every block
 * of at least 8 KiB; a record is found by reading its block, which a disk reads at once anyway, and cutting it again.
 */
import { createChunkedArray } from "./chunked-array.ts";

/** Records that are read together. */
export interface Block {
  readonly firstRecord: number;
  /** Byte offsets, end exclusive. */
  readonly start: number;
  readonly end: number;
}

/** The finished index of one file. */
export interface RecordIndex {
  readonly recordCount: number;
  /** Estimated tokens of a record's texts, as they were given, to within 5 %. */
  lengthOf(record: number): number;
  blockOf(record: number): Block;
}

/** Takes records in file order. */
export interface RecordIndexBuilder {
  /** `start` and `end` as byte offsets, separators included: records follow each other without gaps. */
  add(record: { readonly start: number; readonly end: number; readonly length: number }): void;
  finish(): RecordIndex;
}

const blockBytesMin = 8192;
/** Steps of the logarithmic length code in a doubling: 256 codes reach 65,535 tokens, and longer texts count as that. */
const codesPerDoubling = 16;
const codeMax = 255;

function lengthCode(length: number): number {
  return Math.min(codeMax, Math.round(codesPerDoubling * Math.log2(1 + length)));
}

const shortCodes = Uint8Array.from({ length: 1024 }, (_, length) => lengthCode(length));

function codedLength(code: number): number {
  return Math.round(2 ** (code / codesPerDoubling) - 1);
}

/** An empty index. */
export function createRecordIndexBuilder(): RecordIndexBuilder {
  const lengthCodes = createChunkedArray((size) => new Uint8Array(size));
  const blockStarts = createChunkedArray((size) => new Float64Array(size));
  const blockFirsts = createChunkedArray((size) => new Uint32Array(size));
  let end = 0;

  /** The last block whose first record is not behind the given one. */
  function findBlock(record: number): number {
    let low = 0;
    let high = blockFirsts.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (blockFirsts.at(middle) <= record) low = middle;
      else high = middle;
    }
    return low;
  }

  return {
    add(record) {
      const blockStart = blockStarts.at(blockStarts.length - 1);
      if (blockStarts.length === 0 || record.start - blockStart >= blockBytesMin) {
        blockStarts.push(record.start);
        blockFirsts.push(lengthCodes.length);
      }
      lengthCodes.push(shortCodes[record.length] ?? lengthCode(record.length));
      end = record.end;
    },
    finish: () => ({
      recordCount: lengthCodes.length,
      lengthOf: (record) => codedLength(lengthCodes.at(record)),
      blockOf(record) {
        const block = findBlock(record);
        return {
          firstRecord: blockFirsts.at(block),
          start: blockStarts.at(block),
          end: block + 1 < blockStarts.length ? blockStarts.at(block + 1) : end,
        };
      },
    }),
  };
}
