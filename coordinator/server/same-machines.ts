/** Do all workers compute the same bits? Pure: what each computed of fixed inputs, in; a reason or a refusal, out. */
import { findOddRanks } from "./odd-ranks.ts";

/** What a worker computed of fixed inputs, and on what. */
export interface TestedMachine {
  readonly workerId: string;
  /** CPU model, features, versions. */
  readonly environment: Readonly<Record<string, string>>;
  /** Hashes; null when it was not tested. */
  readonly selfTest: { readonly gradient: bigint; readonly update: bigint } | null;
}

/** Whether a run may begin on these machines. */
export type MachinesVerdict =
  | { readonly kind: "same" }
  /** Gradients or updates differ, and that was allowed: results depend on who computed what. */
  | { readonly kind: "mixed"; readonly reason: string }
  /** They differ. */
  | { readonly kind: "refused"; readonly reason: string }
  /** Updates differ, and every worker makes its own: replicas would drift apart, which nothing allows. */
  | { readonly kind: "drifting"; readonly reason: string };

/** Decides on the machines of a run. @param how whether each part of an update has one owner, who sends the weights */
export function judgeMachines(
  machines: readonly TestedMachine[],
  how: { readonly allowMixed: boolean; readonly hasOwners: boolean },
): MachinesVerdict {
  const update = differenceIn(machines, "update");
  if (update !== null && how.allowMixed && !how.hasOwners)
    return { kind: "drifting", reason: update };
  const gradient = differenceIn(machines, "gradient");
  const reasons = [gradient, update].filter((one) => one !== null);
  if (reasons.length === 0) return { kind: "same" };
  return { kind: how.allowMixed ? "mixed" : "refused", reason: reasons.join(", and ") };
}

function differenceIn(machines: readonly TestedMachine[], what: "gradient" | "update") {
  const odd = findOddRanks(machines, (one, other) =>
    one.selfTest?.[what] === other.selfTest?.[what] ? null : what,
  );
  if (odd === null) return null;
  const named = (ranks: readonly number[]): string =>
    ranks.map((rank) => machines[rank]?.workerId ?? "a worker").join(" and ");
  return odd.majority.length === 0
    ? `another ${what} from each of ${named(odd.ranks)}`
    : `another ${what} from ${named(odd.ranks)} than from ${named(odd.majority)}`;
}

/** A machine in words, for the log of a refusal. */
export function describeMachine({ workerId, environment }: TestedMachine): string {
  const { cpu = "an unknown CPU", cpu_features: features = "", tensorflow = "?" } = environment;
  const { gpu, gpu_driver: driver = "?" } = environment;
  if (gpu !== undefined) {
    return `${workerId} computes on ${gpu} (driver ${driver}) with TensorFlow ${tensorflow}`;
  }
  return `${workerId} computes on ${cpu}${features === "" ? "" : ` (${features})`} with TensorFlow ${tensorflow}`;
}
