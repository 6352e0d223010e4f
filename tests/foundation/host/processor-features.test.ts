/** Which machines `--bf16` and `--fp16` are for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import { featuresIn, multipliesBfloat16 } from "../../../foundation/host/processor-features.ts";
import { refuseSlowPrecision } from "../../../foundation/job/check-precision.ts";

const skylake =
  "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx2 avx512f avx512_vnni\nbugs\t\t:\n";
const zen4 = skylake.replace("avx512_vnni", "avx512_vnni avx512_bf16");
const graviton = "processor\t: 0\nFeatures\t: fp asimd bf16\n";

describe("a processor's features", () => {
  it("are read as Linux lists them", () => {
    assert.deepEqual([...featuresIn(skylake)], ["fpu", "avx2", "avx512f", "avx512_vnni"]);
    assert.deepEqual([...featuresIn(graviton)], ["fp", "asimd", "bf16"]);
    assert.deepEqual([...featuresIn("")], []);
  });

  it("say whether it multiplies bfloat16", () => {
    const can = [skylake, zen4, graviton].map((text) => multipliesBfloat16(featuresIn(text)));
    assert.deepEqual(can, [false, true, true]);
  });
});

const none = {
  bf16: false,
  forceBf16: false,
  fp16: false,
  forceFp16: false,
  device: "cpu",
} as const;

describe("--bf16", () => {
  const wish = { ...none, bf16: true };
  const old = featuresIn(skylake);

  it("is refused with the reason where it would be slow", () => {
    assert.throws(() => refuseSlowPrecision(wish, old), {
      name: BadInput.name,
      message: /--bf16: expected a processor with avx512_bf16.*a hundred times.*--force-bf16/u,
    });
  });

  it("is taken where the processor is made for it, where it is forced, and on a GPU", () => {
    refuseSlowPrecision(wish, featuresIn(zen4));
    refuseSlowPrecision({ ...wish, forceBf16: true }, old);
    refuseSlowPrecision({ ...wish, device: "gpu" }, old);
    refuseSlowPrecision({ ...wish, bf16: false }, old);
  });
});

describe("--fp16", () => {
  const wish = { ...none, fp16: true };
  const features = featuresIn(zen4);

  it("is refused on every CPU with the reason, unless it is forced", () => {
    assert.throws(() => refuseSlowPrecision(wish, features), {
      name: BadInput.name,
      message: /--fp16: expected --device gpu.*many times as long.*--force-fp16/u,
    });
    refuseSlowPrecision({ ...wish, forceFp16: true }, features);
    refuseSlowPrecision({ ...wish, device: "gpu" }, features);
  });

  it("is not taken together with --bf16", () => {
    assert.throws(() => refuseSlowPrecision({ ...wish, bf16: true, device: "gpu" }, features), {
      message: /--fp16: expected one of --bf16 and --fp16, found both/u,
    });
  });
});
