/**
 * What a rank tells the others of its host on its board when a collective begins: where in its own memory they find what it
 * shows. What is not told lies on the board. Pure.
 */
import type { MemoryFile } from "../exact/memory-files.ts";

/** Where what a rank shows lies in a file of its memory. */
export interface ToldPlaces {
  readonly file: MemoryFile;
  /** Of what is to be combined; null where that lies on the board. */
  readonly operandAt: number | null;
  /** Of the results; null where those lie on the board. */
  readonly resultAt: number | null;
}

/** Bytes that it takes. */
export const toldBytes = 64;

const nowhere = -1;

/** As bytes; null for what lies on the board altogether. */
export function encodeTold(told: ToldPlaces | null): Uint8Array {
  const bytes = new Uint8Array(toldBytes);
  if (told === null) return bytes;
  const { file, operandAt, resultAt } = told;
  const view = new DataView(bytes.buffer);
  view.setUint32(0, file.processId);
  view.setUint32(4, file.descriptor);
  view.setBigUint64(8, file.device);
  view.setBigUint64(16, file.inode);
  view.setFloat64(24, file.bytes);
  view.setFloat64(32, operandAt ?? nowhere);
  view.setFloat64(40, resultAt ?? nowhere);
  return bytes;
}

/** What was told. Throws RangeError for bytes that say nothing sensible. */
export function decodeTold(bytes: Uint8Array): ToldPlaces | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const processId = view.getUint32(0);
  if (processId === 0) return null;
  const whole = (at: number, least: number): number => {
    const value = view.getFloat64(at);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new RangeError(`Cannot find a rank's memory: ${value} is no place in it`);
  };
  const placeAt = (at: number): number | null => {
    const place = whole(at, nowhere);
    return place === nowhere ? null : place;
  };
  return {
    file: {
      processId,
      descriptor: view.getUint32(4),
      device: view.getBigUint64(8),
      inode: view.getBigUint64(16),
      bytes: whole(24, 0),
    },
    operandAt: placeAt(32),
    resultAt: placeAt(40),
  };
}
