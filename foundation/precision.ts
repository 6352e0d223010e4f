/** In which floats products are multiplied; all else is float32. */

/** `bf16` and `fp16` are what `--bf16` and `--fp16` ask for. */
export type Precision = "fp32" | "bf16" | "fp16";

/** What a job, a command or a Prepare directive says of precision. */
export interface PrecisionWish {
  readonly bf16: boolean;
  readonly forceBf16: boolean;
  readonly fp16: boolean;
  readonly forceFp16: boolean;
}

/** The precision that is wished for. Both at once are refused where they are given (`check-precision.ts`). */
export function precisionOf({ bf16, fp16 }: Pick<PrecisionWish, "bf16" | "fp16">): Precision {
  if (bf16) return "bf16";
  return fp16 ? "fp16" : "fp32";
}
