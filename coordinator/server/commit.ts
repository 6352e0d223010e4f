/**
 * Is a step committed? Pure: what the ranks reported of it, in; the decision and its reason, out. A step commits when
 * every rank has reduced the same numbers. It is void when they differ or are no numbers: nothing has changed anywhere
 * then, because workers update only after the commit.
 */
import type { StepReduced } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { findOddRanks, oddRanksReason } from "./odd-ranks.ts";

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
      /** Hash of each tensor of the reduced gradient, in table order, in hexadecimal. */
      readonly tensors: readonly string[];
    }
  | { readonly kind: "void"; readonly cause: "not-finite"; readonly reason: string }
  | {
      readonly kind: "void";
      /** Ranks that should hold the same do not: a failure of a machine, or of ours. */
      readonly cause: "diverged";
      readonly reason: string;
      /** Ranks whose numbers cannot be trusted: those that differ from a majority, or all when there is none. */
      readonly ranks: readonly number[];
    };

/** Names for the reasons. */
export interface StepNames {
  /** Worker ids in rank order. */
  readonly workers: readonly string[];
  /** Tensors in the order of their hashes. */
  readonly tensors: readonly string[];
  /** Whether ranks may take other norms of the same gradient: then rank 0's counts. Default: they may not. */
  readonly mixedNorms?: boolean;
}

/** Decides on a step of a ring of `names.workers` from the reports by rank. */
export function decideStep(
  reports: ReadonlyMap<number, StepReduced>,
  names: StepNames,
): StepDecision {
  const missingRanks = [...names.workers.keys()].filter((rank) => !reports.has(rank));
  const first = reports.get(0);
  if (missingRanks.length > 0 || first === undefined) return { kind: "pending", missingRanks };
  const odd = findOddRanks(
    names.workers.map((_, rank) => reports.get(rank) ?? first),
    (one, other) => differenceBetween(one, other, names),
  );
  if (odd !== null) {
    const reason = oddRanksReason(odd, names.workers);
    return { kind: "void", cause: "diverged", reason, ranks: odd.ranks };
  }
  const { wrongOwners } = first;
  if (wrongOwners.length > 0) {
    const owners = wrongOwners.map((rank) => `${names.workers[rank] ?? "a worker"} (rank ${rank})`);
    const reason = `the part of the sum that ${owners.join(" and ")} should have is not the sum of what all workers gave`;
    return { kind: "void", cause: "diverged", reason, ranks: wrongOwners };
  }
  const loss = first.lossSum / first.weight;
  const broken = brokenNumber(loss, first.gradNorm);
  if (broken !== null) return { kind: "void", cause: "not-finite", reason: broken };
  const { weight, gradNorm } = first;
  return { kind: "committed", loss, weight, gradNorm, tensors: first.tensorHashes.map(hashText) };
}

function brokenNumber(loss: number, gradNorm: number): string | null {
  if (!Number.isFinite(loss)) return `the loss is ${loss}`;
  if (!Number.isFinite(gradNorm)) return `the norm of the gradient is ${gradNorm}`;
  return null;
}

function differenceBetween(
  one: StepReduced,
  other: StepReduced,
  { tensors, mixedNorms = false }: StepNames,
): string | null {
  if (!Object.is(one.lossSum, other.lossSum)) return "loss";
  if (!Object.is(one.weight, other.weight)) return "weight of the samples";
  const tensor = firstDifference(one.tensorHashes, other.tensorHashes);
  if (tensor !== null) return `gradient of ${tensors[tensor] ?? `tensor ${tensor}`}`;
  if (one.gatheredWeights !== other.gatheredWeights)
    return "copy of the weights after the step before";
  if (!mixedNorms && !Object.is(one.gradNorm, other.gradNorm)) return "norm of the gradient";
  return null;
}

/** Place of the first entry in which two lists differ, also by their length; null when they are equal. */
export function firstDifference<Item>(one: readonly Item[], other: readonly Item[]): number | null {
  const length = Math.max(one.length, other.length);
  for (let place = 0; place < length; place++) if (one[place] !== other[place]) return place;
  return null;
}

/** A hash as journals have it: 16 hexadecimal digits. */
export function hashText(hash: bigint): string {
  return hash.toString(16).padStart(16, "0");
}
