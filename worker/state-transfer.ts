/** The training state between coordinator and engine: read before the first step, uploaded for a checkpoint. */
import { create } from "@bufbuild/protobuf";
import type { ParameterTable } from "../foundation/parameters/table.ts";
import {
  StateChunkSchema,
  StateSection,
  type StateChunk,
} from "../proto/gen/ringmaster/v1/run_pb.ts";
import { stateChunkBytes } from "../proto/limits.ts";
import type { EngineState } from "./engine/engine.ts";
import { allocateShared } from "./engine/shared-vector.ts";

const elementBytes = Float32Array.BYTES_PER_ELEMENT;

interface Section {
  readonly bytes: Uint8Array;
  readonly values: Float32Array;
  received: number;
}

function openSection(chunk: StateChunk, table: ParameterTable): Section {
  const elements =
    chunk.section === StateSection.PARAMETERS ? table.stateSize : table.trainableSize;
  if (chunk.sectionBytes !== BigInt(elements * elementBytes)) {
    throw new Error(
      `Cannot load state section ${chunk.section} of ${chunk.sectionBytes} bytes: the table has ${elements * elementBytes}`,
    );
  }
  // Aligned: the engine reads it where it lies.
  const values = allocateShared(elements);
  const { buffer, byteOffset, byteLength } = values;
  return { bytes: new Uint8Array(buffer, byteOffset, byteLength), values, received: 0 };
}

/** Puts a state together in shared memory. Throws when a piece is missing, out of order, or not of the table's size. */
export async function receiveState(
  chunks: AsyncIterable<StateChunk>,
  table: ParameterTable,
): Promise<EngineState> {
  const sections = new Map<StateSection, Section>();
  let step = 0;
  for await (const chunk of chunks) {
    const section = sections.get(chunk.section) ?? openSection(chunk, table);
    sections.set(chunk.section, section);
    if (chunk.offset !== BigInt(section.received)) {
      throw new Error(
        `Cannot load state chunk at offset ${chunk.offset}: the next one is ${section.received}`,
      );
    }
    section.bytes.set(chunk.data, section.received);
    section.received += chunk.data.byteLength;
    step = Number(chunk.step);
  }
  for (const [name, { bytes, received }] of sections) {
    if (received !== bytes.byteLength) {
      throw new Error(
        `Cannot load state section ${name}: ${received} of ${bytes.byteLength} bytes have come`,
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
    step,
  };
}

/** Cuts a state into chunks that are views of its memory, in the protocol's order. */
export function* cutState(state: EngineState): Generator<StateChunk> {
  const sections = [
    { section: StateSection.PARAMETERS, values: state.parameters },
    { section: StateSection.FIRST_MOMENT, values: state.firstMoment },
    { section: StateSection.SECOND_MOMENT, values: state.secondMoment },
  ];
  for (const { section, values } of sections) {
    if (values === undefined) continue;
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let offset = 0; offset < bytes.byteLength; offset += stateChunkBytes) {
      yield create(StateChunkSchema, {
        section,
        offset: BigInt(offset),
        data: bytes.subarray(offset, offset + stateChunkBytes),
        sectionBytes: BigInt(bytes.byteLength),
        step: BigInt(state.step),
      });
    }
  }
}
