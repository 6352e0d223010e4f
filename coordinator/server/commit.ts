/**
 * Is a step committed? Pure: what the ranks reported of it, in; the decision and its reason, out. A step commits when
 * every rank has reduced the same numbers. It is void when they differ or are no numbers: nothing has changed anywhere
 * then, because workers update only after the commit.
 */
import type { StepReduced } from "../../proto/gen/ringmaster/v1/run_pb.ts";

/** What is known of a step. */
export type StepDecision =
  | { readonly kind: "pending"; readonly missingRanks: readonly number[] }
  | {
      readonly kind: "committed";
      /** Mean loss over the global batch. */
      readonly loss: number;
      /** Sum of the samples' weights. */
      readonly weight: number;
      /** Norm of the averaged gradient before clipping. */
      readonly gradNorm: number;
    }
  | {
      readonly kind: "void";
      /** `not-finite` is the data's or the learning rate's doing; `diverged` is a failure of ours. */
      readonly cause: "not-finite" | "diverged";
      readonly reason: string;
    };

/** Decides on a step of a ring of `worldSize` from the reports by rank. */
export function decideStep(
  reports: ReadonlyMap<number, StepReduced>,
  worldSize: number,
): StepDecision {
  const missingRanks = Array.from({ length: worldSize }, (_, rank) => rank).filter(
    (rank) => !reports.has(rank),
  );
  const first = reports.get(0);
  if (missingRanks.length > 0 || first === undefined) return { kind: "pending", missingRanks };
  for (const [rank, report] of reports) {
    const difference = differenceBetween(first, report);
    if (difference !== null) {
      return {
        kind: "void",
        cause: "diverged",
        reason: `rank ${rank} reduced another ${difference} than rank 0`,
      };
    }
  }
  const loss = first.lossSum / first.weight;
  const broken = brokenNumber(loss, first.gradNorm);
  if (broken !== null) return { kind: "void", cause: "not-finite", reason: broken };
  return { kind: "committed", loss, weight: first.weight, gradNorm: first.gradNorm };
}

function brokenNumber(loss: number, gradNorm: number): string | null {
  if (!Number.isFinite(loss)) return `the loss is ${loss}`;
  if (!Number.isFinite(gradNorm)) return `the norm of the gradient is ${gradNorm}`;
  return null;
}

function differenceBetween(one: StepReduced, other: StepReduced): string | null {
  if (!Object.is(one.lossSum, other.lossSum)) return "loss";
  if (!Object.is(one.weight, other.weight)) return "weight";
  if (!Object.is(one.gradNorm, other.gradNorm)) return "norm of the gradient";
  if (Buffer.compare(one.reducedHash, other.reducedHash) !== 0) return "gradient";
  return null;
}
