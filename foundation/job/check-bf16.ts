/** Whether a processor is one that `--bf16` is for. */
import { BadInput } from "../bad-input.ts";
import { multipliesBfloat16 } from "../host/processor-features.ts";

/** What decides. */
export interface Bf16Wish {
  readonly bf16: boolean;
  readonly forceBf16: boolean;
  readonly device: "cpu" | "gpu";
}

/** Throws BadInput where bfloat16 is wanted of a processor that would take far longer than for float32. */
export function refuseSlowBf16(wish: Bf16Wish, features: ReadonlySet<string>): void {
  if (!wish.bf16 || wish.forceBf16 || wish.device === "gpu" || multipliesBfloat16(features)) return;
  throw new BadInput({
    flag: "--bf16",
    expected: "a processor with avx512_bf16, amx_bf16 or arm's bf16",
    found: "none of them: bfloat16 products would take a hundred times as long as float32's",
    remedy: "leave --bf16 out, or --force-bf16 computes them all the same",
  });
}
