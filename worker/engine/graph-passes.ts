/**
 * The rewrites that a recording goes through, in order. But for kernels' and narrow products' rounding each keeps all values bit by bit,
 * which a test holds each to by leaving it out.
 */
import type { Precision } from "../../foundation/precision.ts";
import { fuseBlocks } from "./passes/fuse-blocks.ts";
import { lookUpWhole } from "./passes/look-up-whole.ts";
import { mergeEqualNodes } from "./passes/merge-equal-nodes.ts";
import { orderGradients } from "./passes/order-gradients.ts";
import { narrowProducts, wideProducts } from "./passes/narrow-products.ts";
import { narrowResults } from "./passes/narrow-results.ts";
import { ownProducts, type OwnPrecision } from "./passes/own-products.ts";
import { recomputeSegments } from "./passes/recompute-segments.ts";
import { removeUnusedNodes } from "./passes/remove-unused-nodes.ts";
import { sumSlopes } from "./passes/sum-slopes.ts";
import type { Recording } from "./recorder.ts";

/** A pass by the name of its function. `placeProducts` comes last of all, when the vector's places are known. */
export type PassName =
  | "fuseBlocks"
  | "lookUpWhole"
  | "removeUnusedNodes"
  | "ownProducts"
  | "narrowProducts"
  | "mergeEqualNodes"
  | "sumSlopes"
  | "narrowResults"
  | "recomputeSegments"
  | "orderGradients"
  | "placeProducts";

/** A rewrite of a recording. */
export interface Pass {
  readonly name: PassName;
  readonly rewrite: (recording: Recording) => Recording;
}

/** What decides the passes. */
export interface PassGround {
  /** Whether the device has our own kernels. */
  readonly kernels: boolean;
  /** What products of our own are for; null for TensorFlow's. */
  readonly ownProducts: OwnPrecision | null;
  /** What products take. */
  readonly precision: Precision;
  /** Whether the model's segments are computed again for the backward pass. */
  readonly gradientCheckpointing: boolean;
  /** Passes that are left out, so that a test sees what they change. Default none. */
  readonly withoutPasses?: ReadonlySet<PassName>;
}

/** What a program gives: a vector to be reduced, or outputs that are fetched by themselves. */
export type ProgramGives = "vector" | "named";

/** The passes of a program, in order. */
export function passesFor(ground: PassGround, gives: ProgramGives): readonly Pass[] {
  const { precision, kernels, ownProducts: own, gradientCheckpointing, withoutPasses } = ground;
  const composed = precision === "fp32" ? new Set<string>() : wideProducts;
  const removing: Pass = { name: "removeUnusedNodes", rewrite: removeUnusedNodes };
  const passes: readonly (Pass | null)[] = [
    kernels
      ? { name: "fuseBlocks", rewrite: (recording) => fuseBlocks(recording, composed) }
      : null,
    kernels ? { name: "lookUpWhole", rewrite: lookUpWhole } : null,
    removing,
    own === null
      ? null
      : { name: "ownProducts", rewrite: (recording) => ownProducts(recording, own) },
    precision === "fp32"
      ? null
      : { name: "narrowProducts", rewrite: (recording) => narrowProducts(recording, precision) },
    { name: "mergeEqualNodes", rewrite: mergeEqualNodes },
    kernels ? { name: "sumSlopes", rewrite: sumSlopes } : null,
    own === "bf16" ? { name: "narrowResults", rewrite: narrowResults } : null,
    // After merging: copies are equal to what they are copies of.
    ...(gradientCheckpointing
      ? [{ name: "recomputeSegments", rewrite: recomputeSegments } as const, removing]
      : []),
    gives === "vector" ? { name: "orderGradients", rewrite: orderGradients } : null,
  ];
  return passes
    .filter((pass) => pass !== null)
    .filter(({ name }) => withoutPasses?.has(name) !== true);
}
