/**
 * What becomes of a reduced step once it is committed: an update, by every rank of everything, or by each of its share, of which
 * the ring then gives all the weights; or nothing, where the step is skipped.
 */
import type { CommitStep } from "../proto/gen/ringmaster/v1/run_pb.ts";
import { abortable } from "../foundation/abortable.ts";
import type { PreparedJob } from "./job.ts";
import type { RingPlace } from "./worker-state.ts";

/** What an update came to. */
export interface AppliedStep {
  readonly updateMs: number;
  /** Hash of the weights where they were put together of all ranks' shares; else 0. */
  readonly gatheredWeights: bigint;
}

/**
 * Applies or skips the step whose norm the engine has taken. Rejects with LinkBroken, or
 * with the signal's reason. Where moments are shared out, the state is then torn, and has to be loaded anew.
 */
export async function applyStep(
  commit: CommitStep,
  { job, place }: { readonly job: PreparedJob; readonly place: RingPlace },
  signal: AbortSignal,
): Promise<AppliedStep> {
  const { engine, table, zeroStage } = job;
  const { ring, training } = place;
  if (training === null) throw new Error("Cannot apply a step as the job does not train");
  const { sum } = training;
  const step = Number(commit.step);
  const { learningRate, skippedSteps, gradNorm } = commit;
  const options = {
    step,
    learningRate,
    skippedSteps: Number(skippedSteps),
    ...(gradNorm === 0 ? {} : { gradNorm }),
  };
  if (commit.skip) {
    sum.commit(step);
    await abortable(engine.skip(step), signal);
    return { updateMs: 0, gatheredWeights: 0n };
  }
  if (zeroStage === 0) {
    sum.commit(step);
    const { updateMs } = await abortable(engine.update(options), signal);
    return { updateMs, gatheredWeights: 0n };
  }
  const { regions } = training.ownership ?? { regions: [] };
  sum.overwritten();
  const { updateMs } = await abortable(engine.updateShare(options), signal);
  for (const { runs } of regions) {
    const parts = runs.map(({ start, end }) => {
      const { buffer, byteOffset, byteLength } = sum.vector.subarray(start, end);
      return new Uint8Array(buffer, byteOffset, byteLength);
    });
    await ring.fillParts(parts, signal);
  }
  // The engine's thread works on the one, this thread on the other.
  const [[gatheredWeights = 0n]] = await Promise.all([
    training.hasher.hashTensors(sum.vector, [table.trainableSize], signal),
    abortable(engine.takeWeights(), signal),
  ]);
  return { updateMs, gatheredWeights };
}
