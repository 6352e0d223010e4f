/** Which way values are rounded that travel in few bits: by random bits of the job, the step, the microbatch and the element. */
import { dropoutSeed } from "../engine/dropout-seed.ts";

/** Keeps the numbers apart from those of dropout, which come from the same job seed. */
const purpose = 0x726f756e64696e67n;

/** 32 bits for a microbatch of a step; an element's number is mixed in by the kernels. */
export function roundingKey(jobSeed: bigint, step: number, microbatch: number): number {
  const [word = 0] = dropoutSeed(jobSeed ^ purpose, step, microbatch);
  return word >>> 0;
}
