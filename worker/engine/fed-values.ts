/** What each input of a program is fed in one run. Pure. */
import { shapeOf } from "../model/input-shape.ts";
import type { Batch, InputSpec } from "../model/model.ts";
import type { TensorValues } from "./binding.ts";
import { seedInput } from "./dropout-seed.ts";
import { lossScaleInput } from "./loss-scale-input.ts";
import type { Feeds } from "./program-runner.ts";

/** What the host makes for each run. */
function hostValues(name: string, feeds: Feeds | null): TensorValues | undefined {
  if (name === seedInput.name) return feeds?.seed;
  return name === lossScaleInput.name && feeds !== null
    ? Float32Array.of(feeds.lossScale)
    : undefined;
}

/** What an input is fed, and its shape in this run. Throws for values that do not fit. */
export function valuesOf(
  spec: InputSpec,
  batch: Batch,
  feeds: Feeds | null,
): { readonly values: TensorValues; readonly shape: readonly number[] } {
  const { name } = spec;
  const values = hostValues(name, feeds) ?? batch.arrays[name] ?? feeds?.gathered[name];
  const shape = values === undefined ? null : shapeOf(spec, values.length);
  if (values === undefined || shape === null) {
    throw new Error(
      `Cannot feed ${name}: expected ${spec.shape.join(" × ")} values, found ${values?.length ?? "none"}`,
    );
  }
  return { values, shape };
}
