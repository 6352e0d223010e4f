/** The floor of what a bench does: how it stands in the report, and as a line for people. */
import type { BestRate } from "./matmul-rates.ts";

/** The time that the needed matrix products take at the best rate that was measured in the same run. */
export interface Floor extends BestRate {
  /** Operations of the products. */
  readonly flops: number;
  readonly seconds: number;
}

/** Floor of some operations; null where no rate was measured. */
export function floorOf(flops: number, rate: BestRate): Floor | null {
  if (rate.gflops === 0) return null;
  return { flops, ...rate, seconds: flops / rate.gflops / 1e9 };
}

/** A floor beside a time that was measured. */
export interface FloorShare extends Floor {
  /** Floor ÷ the time. */
  readonly share: number;
}

/** The floor with its share of a time in seconds; null where there is no floor. */
export function shareOf(floor: Floor | null, measured: number): FloorShare | null {
  return floor === null ? null : { ...floor, share: floor.seconds / measured };
}

/** `67 %`, or a dash. */
export function shareText(floor: FloorShare | null | undefined): string {
  return floor === null || floor === undefined ? "–" : `${(100 * floor.share).toFixed(0)} %`;
}

const digits = (value: number): string => (value < 100 ? value.toPrecision(3) : value.toFixed(0));

const duration = (seconds: number): string =>
  seconds < 1 ? `${digits(1000 * seconds)} ms` : `${digits(seconds)} s`;

/** A line. @param of what takes so long at least, such as `an epoch` */
export function floorLine(of: string, floor: Floor | null): string {
  if (floor === null) return `floor of ${of}: no rate of matrix products was measured`;
  const { flops, gflops, where } = floor;
  const rate = `${gflops.toFixed(0)} GFLOP/s (${where})`;
  return `floor of ${of}: ${duration(floor.seconds)}, ${digits(flops / 1e9)} GFLOP of matrix products at ${rate}`;
}

/** The better of two rates. */
export function betterRate(one: BestRate, other: BestRate): BestRate {
  return other.gflops > one.gflops ? other : one;
}
