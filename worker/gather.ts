/**
 * What a gather phase exchanges: every microbatch of the global batch gives the same named arrays, and every rank ends
 * with all of them in microbatch order, whoever computed them. Pure; the bytes travel in `step.ts`.
 *
 * A rank's part holds its microbatches in ascending order, each as its arrays in layout order. Microbatches that a
 * short last batch lacks are zeros.
 */
import type { InputSpec } from "./model/model.ts";

/** The named arrays of a gather phase. */
export interface GatherLayout {
  readonly fields: readonly {
    readonly name: string;
    /** Elements that one microbatch gives. */
    readonly perMicrobatch: number;
    /** Elements of the whole array: a full global batch. */
    readonly size: number;
  }[];
  /** Elements of all fields that one microbatch gives. */
  readonly perMicrobatch: number;
}

/** Lays out the arrays that later phases are fed. @param microbatchesPerStep of a full global batch */
export function layOutGather(
  specs: readonly InputSpec[],
  microbatchesPerStep: number,
): GatherLayout {
  const fields = specs.map(({ name, shape }) => {
    const size = shape.reduce((product, dimension) => product * dimension, 1);
    if (size % microbatchesPerStep !== 0) {
      throw new RangeError(
        `Cannot gather ${name} of ${size} elements as ${microbatchesPerStep} equal microbatches`,
      );
    }
    return { name, perMicrobatch: size / microbatchesPerStep, size };
  });
  return { fields, perMicrobatch: fields.reduce((sum, field) => sum + field.perMicrobatch, 0) };
}

/** Microbatches of each rank, ascending. @param dealtTo rank of each microbatch */
export function dealingByRank(
  dealtTo: readonly number[],
  worldSize: number,
): readonly (readonly number[])[] {
  const dealing: number[][] = Array.from({ length: worldSize }, () => []);
  for (const [microbatch, rank] of dealtTo.entries()) {
    const own = dealing[rank];
    if (own === undefined) {
      throw new RangeError(`Cannot deal a microbatch to rank ${rank} of ${worldSize}`);
    }
    own.push(microbatch);
  }
  return dealing;
}

/** One rank's part, from the arrays of its microbatches. */
export function packParts(
  parts: readonly Readonly<Record<string, Float32Array>>[],
  layout: GatherLayout,
): Float32Array {
  const packed = new Float32Array(parts.length * layout.perMicrobatch);
  let offset = 0;
  for (const part of parts) {
    for (const { name, perMicrobatch } of layout.fields) {
      const values = part[name];
      if (values?.length !== perMicrobatch) {
        throw new RangeError(
          `Cannot gather ${name}: a microbatch gave ${values?.length ?? 0} of ${perMicrobatch} elements`,
        );
      }
      packed.set(values, offset);
      offset += perMicrobatch;
    }
  }
  return packed;
}

/** The whole arrays, from all ranks' parts. */
export function unpackParts(
  parts: readonly Float32Array[],
  dealing: readonly (readonly number[])[],
  layout: GatherLayout,
): Record<string, Float32Array> {
  const arrays = Object.fromEntries(
    layout.fields.map(({ name, size }) => [name, new Float32Array(size)]),
  );
  for (const [rank, microbatches] of dealing.entries()) {
    let offset = 0;
    for (const microbatch of microbatches) {
      for (const { name, perMicrobatch } of layout.fields) {
        const values = parts[rank]?.subarray(offset, offset + perMicrobatch);
        if (values?.length !== perMicrobatch) {
          throw new RangeError(`Cannot gather ${name}: the part of rank ${rank} is too short`);
        }
        arrays[name]?.set(values, microbatch * perMicrobatch);
        offset += perMicrobatch;
      }
    }
  }
  return arrays;
}
