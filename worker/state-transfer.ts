/** The training state between coordinator and engine: read before the first step, uploaded for a checkpoint. */
import { create } from "@bufbuild/protobuf";
import {
  placeShare,
  shareLength,
  wholeShare,
  type PlacedRange,
  type Share,
} from "../foundation/parameters/shares.ts";
import type { ParameterTable } from "../foundation/parameters/table.ts";
import {
  LentMemorySchema,
  StateChunkSchema,
  StateSection,
  type LentMemory,
  type StateChunk,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import { stateChunkBytes } from "../proto/limits.ts";
import type { Engine, EngineState } from "./engine/engine.ts";
import { allocateShared } from "./engine/shared-vector.ts";
import type { MemoryFile } from "./exact/memory-files.ts";

const elementBytes = Float32Array.BYTES_PER_ELEMENT;

/** A chunk's values, or where they lie. */
type Given = Pick<StateChunk, "data"> | { readonly lent: LentMemory };

interface Section {
  /** What is kept of it. */
  readonly bytes: Uint8Array;
  readonly values: Float32Array;
  /** What that is of the section, in elements. */
  readonly ranges: readonly PlacedRange[];
  /** The whole section's size. */
  readonly sectionBytes: number;
  received: number;
}

function openSection(chunk: StateChunk, table: ParameterTable, share: Share | null): Section {
  const isWhole = chunk.section === StateSection.PARAMETERS;
  const elements = isWhole ? table.stateSize : table.trainableSize;
  const kept = isWhole || share === null ? wholeShare(elements) : share;
  const sectionBytes = elements * elementBytes;
  if (chunk.sectionBytes !== BigInt(sectionBytes)) {
    throw new Error(
      `Cannot load state section ${chunk.section} of ${chunk.sectionBytes} bytes: the table has ${sectionBytes}`,
    );
  }
  // Aligned: the engine reads it where it lies.
  const values = allocateShared(shareLength(kept));
  const { buffer, byteOffset, byteLength } = values;
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return { bytes, values, ranges: placeShare(kept), sectionBytes, received: 0 };
}

/** Keeps what a chunk has of the part of the section that is kept. */
function keep({ bytes, ranges, received }: Section, data: Uint8Array): void {
  for (const range of ranges) {
    const from = range.start * elementBytes;
    const first = Math.max(0, from - received);
    const end = Math.min(data.byteLength, range.end * elementBytes - received);
    if (end <= first) continue;
    bytes.set(data.subarray(first, end), range.at * elementBytes + received + first - from);
  }
}

/**
 * Puts a state together in shared memory. Throws when a piece is missing, out of order, or not of the table's size.
 * @param share what is kept of the moments; null for all
 */
export async function receiveState(
  chunks: AsyncIterable<StateChunk>,
  table: ParameterTable,
  share: Share | null = null,
): Promise<EngineState> {
  const sections = new Map<StateSection, Section>();
  let step = 0;
  for await (const chunk of chunks) {
    const section = sections.get(chunk.section) ?? openSection(chunk, table, share);
    sections.set(chunk.section, section);
    if (chunk.offset !== BigInt(section.received)) {
      throw new Error(
        `Cannot load state chunk at offset ${chunk.offset}: the next one is ${section.received}`,
      );
    }
    keep(section, chunk.data);
    section.received += chunk.data.byteLength;
    step = Number(chunk.step);
  }
  for (const [name, { sectionBytes, received }] of sections) {
    if (received !== sectionBytes) {
      throw new Error(
        `Cannot load state section ${name}: ${received} of ${sectionBytes} bytes have come`,
      );
    }
  }
  const parameters = sections.get(StateSection.PARAMETERS)?.values;
  const firstMoment = sections.get(StateSection.FIRST_MOMENT)?.values;
  const secondMoment = sections.get(StateSection.SECOND_MOMENT)?.values;
  if (parameters === undefined) throw new Error("Cannot load state: it has no parameters");
  return {
    parameters,
    ...(firstMoment === undefined ? {} : { firstMoment }),
    ...(secondMoment === undefined ? {} : { secondMoment }),
    ...(share === null ? {} : { share }),
    step,
  };
}

/** Has an engine load a state that was received, and gives back the memory that it was received into. */
export async function loadReceived(
  engine: Pick<Engine, "loadState" | "giveBack">,
  state: EngineState,
): Promise<void> {
  await engine.loadState(state);
  await engine.giveBack(state);
}

/** Vectors of a state, in the protocol's order. */
const vectors = [
  [StateSection.PARAMETERS, "parameters"],
  [StateSection.FIRST_MOMENT, "firstMoment"],
  [StateSection.SECOND_MOMENT, "secondMoment"],
] as const;

/** What is wanted of a state. */
interface Wanted {
  /** Default false: the weights too. */
  readonly momentsOnly?: boolean;
  /** The table's, where moments may be a share. */
  readonly trainableSize?: number;
  /** Whether what has a file is lent. Default false. */
  readonly lends?: boolean;
}

/**
 * Cuts a state into chunks that are views of its memory, or say where it lies, in the protocol's order. Of shared-out moments there are
 * the share's.
 */
export function* cutState(state: EngineState, what: Wanted = {}): Generator<StateChunk> {
  const { share, step } = state;
  const files = what.lends === true ? state.files : undefined;
  for (const [section, name] of vectors) {
    const isWeights = section === StateSection.PARAMETERS;
    if (isWeights && what.momentsOnly === true) continue;
    const values = state[name];
    const file = files?.[name];
    if (values === undefined) continue;
    const elements = isWeights ? values.length : (what.trainableSize ?? values.length);
    const chunkOf = (offset: number, given: Given): StateChunk =>
      create(StateChunkSchema, {
        section,
        offset: BigInt(offset),
        ...given,
        sectionBytes: BigInt(elements * elementBytes),
        step: BigInt(step),
      });
    const ranges = placeShare((isWeights ? undefined : share) ?? wholeShare(values.length));
    // Of nothing one empty chunk is sent, or nobody would know that it has come.
    if (ranges.length === 0) yield chunkOf(0, { data: new Uint8Array(0) });
    for (const { start, end, at } of ranges) {
      const own = values.subarray(at, at + end - start);
      const bytes = new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
      const maxBytes = file === undefined ? stateChunkBytes : bytes.byteLength;
      for (let offset = 0; offset < bytes.byteLength; offset += maxBytes) {
        const data = bytes.subarray(offset, offset + maxBytes);
        const given = file === undefined ? { data } : { lent: lend(file, data) };
        yield chunkOf(start * elementBytes + offset, given);
      }
    }
  }
}

/** Says where bytes lie in a file that is under all of their memory. */
function lend(file: MemoryFile, { byteOffset, byteLength }: Uint8Array): LentMemory {
  const { processId, descriptor, device, inode } = file;
  return create(LentMemorySchema, {
    processId,
    descriptor,
    device,
    inode,
    position: BigInt(byteOffset),
    bytes: BigInt(byteLength),
  });
}
