/** The form of what a program is fed. Pure. */
import type { InputSpec } from "./model.ts";

/** A dimension that each run chooses. */
export const anyLength = -1;

/** Whether a run chooses how much it is fed. */
export function isOpen({ shape }: InputSpec): boolean {
  return shape.includes(anyLength);
}

/** The shape that so many values have; null where they do not fit. An open input has one open dimension. */
export function shapeOf({ shape }: InputSpec, count: number): readonly number[] | null {
  const fixed = shape.reduce((size, dimension) => size * (dimension < 0 ? 1 : dimension), 1);
  const whole = shape.map((dimension) => (dimension < 0 ? count / fixed : dimension));
  const fits = whole.every(Number.isInteger) && whole.reduce((a, b) => a * b, 1) === count;
  return fits ? whole : null;
}
