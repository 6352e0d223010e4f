/** Reads the state of a graph out into memory that threads share: at once, or beside what is computed next. */
import type { MemoryFile, MemoryFiles } from "../exact/memory-files.ts";
import type { EngineState, StateFiles } from "./engine.ts";
import { graphNames, sections, type Section } from "./graph-names.ts";
import type { Copying, Fed, GraphSession } from "./graph-session.ts";
import type { ShareMoments } from "./share-moments.ts";
import { alignedView, allocateShared, type OnMemory } from "./shared-vector.ts";
import { markWritten, type RunMarks, type WriteMarks } from "./write-marks.ts";

/** Vectors that are kept for what is read next. Of other sizes, as of other shares, the oldest go. */
const freeMax = 2 * sections.length;

/** What is read. */
interface Wanted {
  /** Elements of the weights. */
  readonly stateSize: number;
  /** Elements of each moment that are variables; 0 for none. */
  readonly momentsSize: number;
  /** The moments where they are shared out. */
  readonly moments: ShareMoments | null;
}

/** Memory that is read into. */
interface Vector {
  readonly values: Float32Array;
  /** What others of the host can map to read it; null where they cannot. */
  readonly file: MemoryFile | null;
}

/** A section that is read. */
interface Part {
  readonly section: Section;
  readonly into: Vector;
  /** What it is read from; null for variables. */
  readonly from: Float32Array | null;
}

/** Reads one state after the other; what is read is the caller's until it is taken back. */
export class ReadOut {
  readonly #session: GraphSession;
  /** For what nobody watches. */
  readonly #marks: WriteMarks;
  readonly #files: MemoryFiles | null;
  /** Memory that nobody has anything in. */
  readonly #free: Vector[] = [];
  /** What callers have of memory with a file: the file is there for as long as this vector is known, not the caller's. */
  readonly #given: Vector[] = [];
  /** What copies that may be under way read and write: TensorFlow does not keep it. */
  readonly #held: Part[] = [];

  /** @param marks for each tensor of a section @param files puts files under what is read; null for none */
  constructor(session: GraphSession, marks: WriteMarks, files: MemoryFiles | null) {
    this.#session = session;
    this.#marks = marks;
    this.#files = files;
  }

  /** @param run marks each section, by its place in `sections`, once it is there or known to be none; without it all is read at once */
  read(wanted: Wanted, run?: RunMarks): Omit<EngineState, "step"> {
    const parameters = this.#part("parameters", wanted.stateSize);
    const moments = this.#moments(wanted);
    const parts = [parameters, ...moments];
    this.#held.splice(0, this.#held.length, ...parts);
    const copies = parts.map(({ section, into, from }) => ({
      ...this.#copyOf(section, from),
      into: into.values,
    }));
    const isBeside = run !== undefined && this.#session.copy(copies, run);
    if (!isBeside) for (const part of parts) this.#readNow(part);
    for (const [place, section] of sections.entries()) {
      const isComing = isBeside && parts.some((part) => part.section === section);
      if (run !== undefined && !isComing) markWritten(run, place);
    }
    const [first, second] = moments;
    const files = filesOf(parts);
    return {
      parameters: parameters.into.values,
      ...(first === undefined ? {} : { firstMoment: first.into.values }),
      ...(second === undefined ? {} : { secondMoment: second.into.values }),
      ...(files === undefined ? {} : { files }),
      ...(wanted.moments === null ? {} : { share: wanted.moments.share }),
    };
  }

  /** Has TensorFlow prepare what reads such a state beside what is computed next, so that no step waits for that. */
  prepare({ moments, momentsSize }: Wanted): void {
    const isTrained = moments !== null || momentsSize > 0;
    const read = sections.filter((section) => section === "parameters" || isTrained);
    const copies = read.map((section) => this.#copyOf(section, momentOf(moments, section)));
    this.#session.prepareCopy(copies, this.#marks.begin());
  }

  /** Takes the memory of a state for what is read next. */
  takeBack(state: EngineState): void {
    for (const section of sections) {
      const values = state[section];
      const file = state.files?.[section];
      if (file !== undefined) this.#free.push(...this.#takeGiven(file));
      // Where there can be files, what has none is not read into again.
      else if (this.#files === null && values?.buffer instanceof SharedArrayBuffer)
        this.#free.push({ values, file: null });
    }
    this.#free.splice(0, Math.max(0, this.#free.length - freeMax));
  }

  #takeGiven({ inode }: MemoryFile): readonly Vector[] {
    const place = this.#given.findIndex(({ file }) => file?.inode === inode);
    return place < 0 ? [] : this.#given.splice(place, 1);
  }

  #moments({ momentsSize, moments }: Wanted): readonly Part[] {
    if (moments === null && momentsSize === 0) return [];
    return (["firstMoment", "secondMoment"] as const).map((section) =>
      moments === null
        ? this.#part(section, momentsSize)
        : {
            ...this.#part(section, moments[section].length),
            from: momentOf(moments, section),
          },
    );
  }

  #part(section: Section, size: number): Part {
    const place = this.#free.findIndex(({ values }) => values.length === size);
    const [known] = place < 0 ? [] : this.#free.splice(place, 1);
    const into = known ?? this.#make(size);
    if (into.file !== null) this.#given.push(into);
    return { section, into, from: null };
  }

  #make(size: number): Vector {
    let file: MemoryFile | null = null;
    const lay: OnMemory = (memory) => {
      try {
        file = this.#files?.layUnder(memory) ?? null;
      } catch {
        // Nobody else reads it then.
      }
    };
    const values = allocateShared(size, lay);
    return { values, file };
  }

  #copyOf(section: Section, from: Float32Array | null): Omit<Copying, "into"> {
    const view = from === null ? null : alignedView(from);
    const feed = (): Fed[] =>
      view === null
        ? []
        : [{ name: graphNames.copyFrom(section), tensor: this.#session.tensor(view, "float32") }];
    return { scope: graphNames.copy(section), feed };
  }

  #readNow({ section, into, from }: Part): void {
    if (from === null)
      this.#session.write(graphNames.read(section), () => [], into.values, this.#marks.begin());
    else into.values.set(from);
  }
}

function filesOf(parts: readonly Part[]): StateFiles | undefined {
  const files = parts.flatMap(({ section, into: { file } }) =>
    file === null ? [] : [[section, file] as const],
  );
  return files.length === 0 ? undefined : Object.fromEntries(files);
}

/** The moment of a section where moments are shared out; null for variables. */
function momentOf(moments: ShareMoments | null, section: Section): Float32Array | null {
  return moments === null || section === "parameters" ? null : moments[section];
}
