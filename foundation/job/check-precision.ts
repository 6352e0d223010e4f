/** Whether a machine is one that `--bf16` or `--fp16` is for. */
import { BadInput } from "../bad-input.ts";
import { traitsOf, type Device } from "../device.ts";
import { multipliesBfloat16 } from "../host/processor-features.ts";
import type { PrecisionWish } from "../precision.ts";

/**
 * Throws BadInput for both precisions at once, and for one that takes the machine far longer than float32.
 * @param features what the processor can do
 */
export function refuseSlowPrecision(
  wish: PrecisionWish & { readonly device: Device },
  features: ReadonlySet<string>,
): void {
  if (wish.bf16 && wish.fp16) {
    throw new BadInput({ flag: "--fp16", expected: "one of --bf16 and --fp16", found: "both" });
  }
  if (traitsOf(wish.device).isMadeForNarrowFloats) return;
  if (wish.bf16 && !wish.forceBf16 && !multipliesBfloat16(features)) {
    throw new BadInput({
      flag: "--bf16",
      expected: "a processor with avx512_bf16, amx_bf16 or arm's bf16",
      found:
        "none of them: bfloat16 products would be no faster than float32's here, and convolutions a hundred times slower",
      remedy: "leave --bf16 out, or --force-bf16 computes them all the same",
    });
  }
  if (wish.fp16 && !wish.forceFp16) {
    throw new BadInput({
      flag: "--fp16",
      expected: "--device gpu with it",
      found: "cpu: its products of 16-bit floats would take many times as long as float32's",
      remedy:
        "--bf16 where the processor is made for it, or --force-fp16 computes them all the same",
    });
  }
}
