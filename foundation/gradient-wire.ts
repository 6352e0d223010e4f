/**
 * The formats in which gradients travel between workers: whole numbers of 32, 16 or 8 bits with an exponent a block, whose sum
 * does not depend on who adds first; or plain float32, whose sum does.
 */

/** Names of the formats, the widest first. */
export const gradientWires = ["int32", "int16", "int8-block", "float32"] as const;

/** A format's name. */
export type GradientWire = (typeof gradientWires)[number];

/** What a format means. */
export interface WireForm {
  /** Bits of a number, the sum over all microbatches of a group included. */
  readonly bits: 32 | 16 | 8;
  /** Elements that share an exponent, at most. */
  readonly blockElements: number;
  /** Microbatches whose sum is one integer, at most: as many more bits as their number has are lost to each. */
  readonly microbatchesMax: number;
  /** Whether sums are the same bits for any number of workers. */
  readonly exact: boolean;
}

/** The formats by name. Few bits need small blocks: an element is rounded to a share of its block's largest. */
export const wireForms: Readonly<Record<GradientWire, WireForm>> = {
  int32: { bits: 32, blockElements: 1024, microbatchesMax: 64, exact: true },
  int16: { bits: 16, blockElements: 1024, microbatchesMax: 64, exact: true },
  "int8-block": { bits: 8, blockElements: 128, microbatchesMax: 8, exact: true },
  // Added up as they come: there is nothing to hold them back for.
  float32: { bits: 32, blockElements: 1024, microbatchesMax: 1, exact: false },
};

/** Names of the formats whose sums are the same bits for any number of workers. */
export const exactWires: readonly GradientWire[] = gradientWires.filter(
  (wire) => wireForms[wire].exact,
);

/** What is said of a format that is not exact. */
export const inexactNote = "the result's bits depend on the number of workers";

/** The format of that name. Throws RangeError where there is none. */
export function wireFormOf(name: string): WireForm {
  const found = gradientWires.find((wire) => wire === name);
  if (found === undefined) throw new RangeError(`Cannot exchange gradients as ${name}`);
  return wireForms[found];
}

/** float32 elements of gradients that a worker may hold while it waits for their exponents: 1.6 GB. */
const heldElementsMax = 400_000_000;

/**
 * Microbatches whose gradients are summed with common exponents. It depends on the vector's length and the wire format only: on
 * nothing that may change while a job runs.
 */
export function groupMicrobatches(
  vectorLength: number,
  { microbatchesMax }: Pick<WireForm, "microbatchesMax"> = wireForms.int32,
): number {
  const held = Math.floor(heldElementsMax / Math.max(1, vectorLength));
  return Math.min(microbatchesMax, Math.max(4, held));
}
