/** The formats in which gradients travel between workers: whole numbers of 32, 16 or 8 bits with an exponent a block. */

/** Names of the formats, the widest first. */
export const gradientWires = ["int32", "int16", "int8-block"] as const;

/** A format's name. */
export type GradientWire = (typeof gradientWires)[number];

/** What a format means. */
export interface WireForm {
  /** Bits of an integer, the sum over all microbatches of a group included. */
  readonly bits: 32 | 16 | 8;
  /** Elements that share an exponent, at most. */
  readonly blockElements: number;
  /** Microbatches whose sum is one integer, at most: as many more bits as their number has are lost to each. */
  readonly microbatchesMax: number;
}

/** The formats by name. Few bits need small blocks: an element is rounded to a share of its block's largest. */
export const wireForms: Readonly<Record<GradientWire, WireForm>> = {
  int32: { bits: 32, blockElements: 1024, microbatchesMax: 64 },
  int16: { bits: 16, blockElements: 1024, microbatchesMax: 64 },
  "int8-block": { bits: 8, blockElements: 128, microbatchesMax: 8 },
};

/** The format whose integers have that many bits. Throws RangeError where there is none. */
export function wireFormOf(bits: number): WireForm {
  const form = gradientWires.map((name) => wireForms[name]).find((one) => one.bits === bits);
  if (form === undefined)
    throw new RangeError(`Cannot exchange gradients as integers of ${bits} bits`);
  return form;
}

/** Bytes of an element on the wire, its share of the block's exponent byte included. */
export function wireBytes(wire: GradientWire): number {
  const { bits, blockElements } = wireForms[wire];
  return bits / 8 + 1 / blockElements;
}
