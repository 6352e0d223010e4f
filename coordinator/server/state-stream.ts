/**
 * A training state on the wire: cut into chunks for ReadState, put together again from WriteState. What arrives must be
 * exactly what the parameter table says, in order; anything else is refused before it is stored.
 */
import { create } from "@bufbuild/protobuf";
import { freeVectors } from "../../foundation/host/free-vectors.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { StateChunkSchema, StateSection } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { StateChunk } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { stateChunkBytes } from "../../proto/limits.ts";
import { readLent } from "./lent-memory.ts";

/** Weights, and the optimiser's moments where they are known, after a number of updates. */
export interface TrainingState {
  /** Optimiser updates that made it; 0 for a fresh model. */
  readonly step: number;
  /** All parameters and buffers, in table order. */
  readonly parameters: Float32Array;
  /** First and second moment of the trainable parameters; null when the optimiser starts afresh. */
  readonly moments: { readonly first: Float32Array; readonly second: Float32Array } | null;
}

/** Frees the memory of a state that has served: its vectors are empty from now on, wherever they are still known. */
export function freeState({ parameters, moments }: TrainingState): void {
  freeVectors([parameters, ...(moments === null ? [] : [moments.first, moments.second])]);
}

const bytesPerElement = Float32Array.BYTES_PER_ELEMENT;

/** Cuts a state into chunks that are views of its memory. */
export function* chunksOf(state: TrainingState): Generator<StateChunk> {
  yield* chunksOfSection(StateSection.PARAMETERS, state.parameters, state.step);
  if (state.moments === null) return;
  yield* chunksOfSection(StateSection.FIRST_MOMENT, state.moments.first, state.step);
  yield* chunksOfSection(StateSection.SECOND_MOMENT, state.moments.second, state.step);
}

function* chunksOfSection(
  section: StateSection,
  values: Float32Array,
  step: number,
): Generator<StateChunk> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  for (let offset = 0; offset < bytes.byteLength; offset += stateChunkBytes) {
    yield create(StateChunkSchema, {
      section,
      offset: BigInt(offset),
      data: bytes.subarray(offset, offset + stateChunkBytes),
      sectionBytes: BigInt(bytes.byteLength),
      step: BigInt(step),
    });
  }
}

/** What one worker gives of a section without a gap, in bytes: from `start` up to what has come. */
interface Part {
  readonly start: number;
  next: number;
}

interface Section {
  readonly values: Float32Array;
  /** By who gives it, in order; a share may have several. */
  readonly parts: Map<string, Part[]>;
}

/** Puts a state together from chunks; what one worker gives arrives in order. */
export class StateAssembly {
  readonly #table: ParameterTable;
  readonly #sections = new Map<StateSection, Section>();
  readonly #wantsMoments: boolean;
  readonly #over = new AbortController();
  /** What is read of lent memory at the moment. */
  readonly #reading = new Set<Promise<void>>();
  #step: number | null = null;

  /** @param wantsMoments whether the optimiser's moments are expected too */
  constructor(table: ParameterTable, wantsMoments: boolean) {
    this.#table = table;
    this.#wantsMoments = wantsMoments;
  }

  /**
   * Takes one chunk; gives its bytes. Throws a RangeError that names what does not fit, Unreadable for lent memory that cannot be read.
   * @param giver worker that gives it
   */
  async add(chunk: StateChunk, giver: string): Promise<number> {
    const { data, lent } = chunk;
    const target = this.#place(
      chunk,
      giver,
      lent === undefined ? data.byteLength : Number(lent.bytes),
    );
    if (lent === undefined) target.set(data);
    else await this.#read(readLent(lent, target, this.#over.signal));
    return target.byteLength;
  }

  /** Where a chunk's bytes go. */
  #place(chunk: StateChunk, giver: string, bytes: number): Uint8Array {
    this.#over.signal.throwIfAborted();
    const section = this.#sectionOf(chunk);
    const offset = Number(chunk.offset);
    const given = section.parts.get(giver) ?? [];
    section.parts.set(giver, given);
    const last = given.at(-1);
    if (last !== undefined && offset < last.next) {
      throw new RangeError(
        `Cannot take state chunk at offset ${chunk.offset}: the next one is ${last.next} or later`,
      );
    }
    const part = last?.next === offset ? last : { start: offset, next: offset };
    if (part !== last) given.push(part);
    const target = new Uint8Array(
      section.values.buffer,
      section.values.byteOffset,
      section.values.byteLength,
    );
    if (offset + bytes > target.byteLength) {
      throw new RangeError(`Cannot take state chunk: it reaches past its section's end`);
    }
    part.next += bytes;
    return target.subarray(offset, offset + bytes);
  }

  async #read(reading: Promise<void>): Promise<void> {
    this.#reading.add(reading);
    try {
      await reading;
    } finally {
      this.#reading.delete(reading);
    }
  }

  /** Forgets what a worker has given so far, which gives all of it again. */
  forget(giver: string): void {
    for (const { parts } of this.#sections.values()) parts.delete(giver);
  }

  /** Frees the memory of a state that nobody waits for any more, once nothing is read into it. Nothing can be added then. */
  free(): void {
    this.#over.abort(new Error("Nobody waits for the state any more"));
    const vectors = [...this.#sections.values()].map(({ values }) => values);
    void Promise.allSettled(this.#reading).then(() => freeVectors(vectors));
  }

  /** The whole state. Throws when a part of it has not arrived. */
  finish(): TrainingState {
    const parameters = this.#whole(StateSection.PARAMETERS);
    const moments = this.#wantsMoments
      ? {
          first: this.#whole(StateSection.FIRST_MOMENT),
          second: this.#whole(StateSection.SECOND_MOMENT),
        }
      : null;
    return { step: this.#step ?? 0, parameters, moments };
  }

  #sectionOf(chunk: StateChunk): Section {
    const elements = this.#elementsOf(chunk.section);
    if (Number(chunk.sectionBytes) !== elements * bytesPerElement) {
      throw new RangeError(
        `Cannot take state section of ${chunk.sectionBytes} bytes: the table has ${elements * bytesPerElement}`,
      );
    }
    const step = Number(chunk.step);
    if (this.#step !== null && this.#step !== step) {
      throw new RangeError(
        `Cannot take state of step ${step}: the earlier part is of ${this.#step}`,
      );
    }
    this.#step = step;
    const known = this.#sections.get(chunk.section);
    if (known !== undefined) return known;
    const section = { values: new Float32Array(elements), parts: new Map<string, Part[]>() };
    this.#sections.set(chunk.section, section);
    return section;
  }

  #elementsOf(section: StateSection): number {
    if (section === StateSection.PARAMETERS) return this.#table.stateSize;
    const isMoment =
      section === StateSection.FIRST_MOMENT || section === StateSection.SECOND_MOMENT;
    if (isMoment && this.#wantsMoments) return this.#table.trainableSize;
    throw new RangeError(`Cannot take state section ${section}: it was not asked for`);
  }

  #whole(id: StateSection): Float32Array {
    const expected = this.#elementsOf(id) * bytesPerElement;
    const section = this.#sections.get(id);
    if (section === undefined && expected === 0) return new Float32Array(0);
    // Parts must follow one another: what is doubled or missing is none to go on from.
    let received = 0;
    const parts = [...(section?.parts.values() ?? [])].flat();
    for (const { start, next } of parts.sort((one, other) => one.start - other.start)) {
      if (start === received) received = next;
    }
    if (section === undefined || received !== expected) {
      throw new RangeError(
        `Cannot use the state: section ${id} has ${received} of ${expected} bytes`,
      );
    }
    return section.values;
  }
}
