/** The words of dropout that the host makes for a microbatch; what becomes of them is in `dropout.ts`. */
import type { InputSpec } from "../model/model.ts";

/** The input that carries the words of `dropoutSeed`. */
export const seedInput: InputSpec = { name: "seed", shape: [2], dtype: "int32" };

/** SplitMix64's finaliser (Steele, Lea, Flood 2014): every input bit reaches every output bit. */
function mix(value: bigint): bigint {
  let z = BigInt.asUintN(64, value + 0x9e3779b97f4a7c15n);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** The two int32 words for a microbatch of a step. */
export function dropoutSeed(jobSeed: bigint, step: number, microbatch: number): Int32Array {
  const mixed = mix(mix(mix(jobSeed) ^ BigInt(step)) ^ BigInt(microbatch));
  return new Int32Array(new BigUint64Array([mixed]).buffer);
}
