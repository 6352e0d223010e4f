/** The scalars of an AdamW update, in double precision on the host. Pure. */
import type { EngineOptimizer } from "./engine.ts";
import type { UpdateScalars } from "./program-runner.ts";

/** What an update depends on beside the vectors. */
export interface UpdatePlace {
  /** Updates so far, this one included: t in the bias corrections. */
  readonly updates: number;
  readonly learningRate: number;
  /** Norm of the averaged gradient. */
  readonly gradNorm: number;
  /** Weight of the global batch. */
  readonly weight: number;
}

/**
 * AdamW after Loshchilov and Hutter (2019) as `torch.optim.AdamW` computes it, in the "epsilon-hat" form of Kingma and Ba
 * (2015, section 2): lr and epsilon carry the bias corrections. Clipping as `torch.nn.utils.clip_grad_norm_`.
 */
export function updateScalars(optimizer: EngineOptimizer, place: UpdatePlace): UpdateScalars {
  const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = optimizer;
  const correction1 = 1 - beta1 ** place.updates;
  const correction2 = Math.sqrt(1 - beta2 ** place.updates);
  const clip = maxGradNorm > 0 ? Math.min(1, maxGradNorm / (place.gradNorm + 1e-6)) : 1;
  return {
    learningRate: (place.learningRate * correction2) / correction1,
    epsilon: epsilon * correction2,
    scale: clip / place.weight,
    decay: place.learningRate * weightDecay,
    bufferScale: 1 / place.weight,
  };
}

/** Square of a gradient's norm, element after element in double precision. */
export function sumOfSquares(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return sum;
}
