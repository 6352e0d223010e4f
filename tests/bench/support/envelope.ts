/**
 * What exponents kept from past steps would cost: a block's envelope is the largest exponent that it has had, which falls by so much a
 * step; a step of which a block's exponent lies above it, and above some bits of headroom, saturates, and is to be done again.
 */
import type { BlockLayout } from "../../../worker/exact/block-layout.ts";

/** How an envelope is kept. */
export interface EnvelopeForm {
  /** Bits that it falls by in a step. */
  readonly decay: number;
  /** Bits that are left free above it, which are lost to precision. */
  readonly headroom: number;
}

/** What became of the steps after the first one, which has nothing to go by. */
export interface EnvelopeCost {
  readonly form: EnvelopeForm;
  /** Blocks that saturated, in all steps. */
  saturated: number;
  /** Steps with one such block at least. */
  redone: number;
}

/** Envelopes of one form over all blocks. */
export class Envelope {
  readonly cost: EnvelopeCost;
  readonly #levels: Float64Array;

  constructor(form: EnvelopeForm, blocks: number) {
    this.cost = { form, saturated: 0, redone: 0 };
    // Below all exponents: nothing has been there.
    this.#levels = new Float64Array(blocks).fill(Number.NEGATIVE_INFINITY);
  }

  /** Takes a step's exponents. @param counts whether blocks that saturate count: not in the first step */
  step(exponents: Uint8Array, counts: boolean): void {
    const { decay, headroom } = this.cost.form;
    let saturated = 0;
    for (const [block, exponent] of exponents.entries()) {
      const level = this.#levels[block] ?? 0;
      if (exponent > 0 && exponent > level + headroom) saturated += 1;
      this.#levels[block] = Math.max(
        level - decay,
        exponent > 0 ? exponent : Number.NEGATIVE_INFINITY,
      );
    }
    if (!counts) return;
    this.cost.saturated += saturated;
    if (saturated > 0) this.cost.redone += 1;
  }
}

const bits = new Uint32Array(1);
const value = new Float32Array(bits.buffer);

/** Raises blocks' exponent bytes to those of a vector. */
export function raiseTo(
  exponents: Uint8Array,
  vector: Float32Array,
  { bounds }: BlockLayout,
): void {
  for (let block = 0; block < exponents.length; block++) {
    let largest = 0;
    for (let i = bounds[block] ?? 0; i < (bounds[block + 1] ?? 0); i++)
      largest = Math.max(largest, Math.abs(vector[i] ?? 0));
    value[0] = largest;
    const exponent = largest === 0 ? 0 : Math.max(1, (bits[0] ?? 0) >>> 23);
    exponents[block] = Math.max(exponents[block] ?? 0, exponent);
  }
}
