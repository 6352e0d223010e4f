/**
 * The factor of the loss in half precision, which keeps small gradients within the range of 16-bit floats. It grows as long as
 * gradients stay finite and shrinks where one does not, as `torch.amp.GradScaler` has it; a step whose gradient is not finite is
 * skipped. A function of the committed steps alone: the same for any number of workers. Pure.
 */
import { z } from "zod";

const count = z.number().int().nonnegative();

/** As a checkpoint keeps it. */
export const lossScaleSchema = z.object({
  /** The factor, a power of two. */
  scale: z.number().positive(),
  /** Steps since it last changed. */
  goodSteps: count,
  /** Steps of the whole training that were skipped. */
  skippedSteps: count,
});

/** The factor with what decides its next change. */
export type LossScale = Readonly<z.infer<typeof lossScaleSchema>>;

/** Where training starts: GradScaler's `init_scale`. */
export const firstLossScale: LossScale = { scale: 2 ** 16, goodSteps: 0, skippedSteps: 0 };

/** GradScaler's `growth_interval`, in steps. */
const growthSteps = 2000;
/** Below this a gradient overflows that would not have needed a factor (DeepSpeed's `min_loss_scale`). */
const scaleMin = 1;
/** Beyond this the factor itself would leave the range of float32. */
const scaleMax = 2 ** 126;

/** After a step whose gradient was finite. */
export function grown(scale: LossScale): LossScale {
  const goodSteps = scale.goodSteps + 1;
  if (goodSteps < growthSteps || scale.scale >= scaleMax) return { ...scale, goodSteps };
  return { ...scale, scale: scale.scale * 2, goodSteps: 0 };
}

/** After a step that was skipped; null where no smaller factor could help. */
export function shrunk(scale: LossScale): LossScale | null {
  if (scale.scale <= scaleMin) return null;
  return { scale: scale.scale / 2, goodSteps: 0, skippedSteps: scale.skippedSteps + 1 };
}
