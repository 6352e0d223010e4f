/** Which processors `--bf16` is for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import { featuresIn, multipliesBfloat16 } from "../../../foundation/host/processor-features.ts";
import { refuseSlowBf16 } from "../../../foundation/job/check-bf16.ts";

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

describe("--bf16", () => {
  const wish = { bf16: true, forceBf16: false, device: "cpu" } as const;
  const old = featuresIn(skylake);

  it("is refused with the reason where it would be slow", () => {
    assert.throws(() => refuseSlowBf16(wish, old), {
      name: BadInput.name,
      message: /--bf16: expected a processor with avx512_bf16.*a hundred times.*--force-bf16/u,
    });
  });

  it("is taken where the processor is made for it, where it is forced, and on a GPU", () => {
    refuseSlowBf16(wish, featuresIn(zen4));
    refuseSlowBf16({ ...wish, forceBf16: true }, old);
    refuseSlowBf16({ ...wish, device: "gpu" }, old);
    refuseSlowBf16({ ...wish, bf16: false }, old);
  });
});
