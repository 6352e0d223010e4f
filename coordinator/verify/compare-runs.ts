/** Have two runs trained the same, bit by bit? Pure: two records, in; how far they agree and where they part, out. */
import { infoOf, kebabCase } from "../../foundation/job/setting.ts";
import { settingKeys, settingsSchema } from "../../foundation/job/settings-schema.ts";
import { firstDifference } from "../server/commit.ts";
import type { RunRecord } from "./run-record.ts";

/** A thing that two runs have otherwise. */
export interface Difference {
  readonly name: string;
  readonly a: string;
  readonly b: string;
}

/** The first place where two runs part. */
export interface Parting {
  readonly step: number;
  /** In words: `gradient of bert.pooler.dense.weight and of 12 more of 103 tensors`. */
  readonly what: string;
}

/** Outcome of a comparison. */
export interface Comparison {
  /** Steps that both runs have committed, first and last; null when there are none. */
  readonly common: { readonly first: number; readonly last: number; readonly count: number } | null;
  /** The last common step up to which everything agrees; null when not even the first does. */
  readonly agreeUpTo: number | null;
  readonly parting: Parting | null;
  /** Steps after which both have hashed their weights, as far as they agree. */
  readonly weightsAgreeAt: readonly number[];
  /** Whether the final models have the same bytes; null when one run has none. */
  readonly sameModel: boolean | null;
  /** Settings that decide what is trained. */
  readonly settings: readonly Difference[];
  /** Processors and versions. */
  readonly machines: readonly Difference[];
}

/** Settings that may differ between runs that train the same. */
const freeSettings: ReadonlySet<string> = new Set(
  settingKeys.filter((key) => infoOf(settingsSchema.shape[key]).onResume === "free").map(kebabCase),
);

/** Compares two runs step by step. */
export function compareRuns(a: RunRecord, b: RunRecord): Comparison {
  const common = [...a.steps.keys()].filter((step) => b.steps.has(step)).sort((x, y) => x - y);
  const weightsAgreeAt: number[] = [];
  let agreeUpTo: number | null = null;
  let parting: Parting | null = null;
  const places = new Set([
    ...common,
    ...a.skipped,
    ...b.skipped,
    ...[...a.weights.keys()].filter((step) => b.weights.has(step)),
  ]);
  for (const step of [...places].sort((x, y) => x - y)) {
    const what =
      skipDifference(a, b, step) ?? stepDifference(a, b, step) ?? weightsDifference(a, b, step);
    if (what !== null) {
      parting = { step, what };
      break;
    }
    if (a.steps.has(step) && b.steps.has(step)) agreeUpTo = step;
    if (a.weights.has(step) && b.weights.has(step)) weightsAgreeAt.push(step);
  }
  const first = common.at(0);
  const last = common.at(-1);
  return {
    common:
      first === undefined || last === undefined ? null : { first, last, count: common.length },
    agreeUpTo,
    parting,
    weightsAgreeAt,
    sameModel: a.model === null || b.model === null ? null : a.model === b.model,
    settings: settingsDifferences(a, b),
    machines: machineDifferences(a, b),
  };
}

/** Whether nothing that both runs have differs. */
export function areEqual({ parting, sameModel }: Comparison): boolean {
  return parting === null && sameModel !== false;
}

function skipDifference(a: RunRecord, b: RunRecord, step: number): string | null {
  if (a.skipped.has(step) && b.steps.has(step)) return "skipped by the first alone";
  return a.steps.has(step) && b.skipped.has(step) ? "skipped by the second alone" : null;
}

function stepDifference(a: RunRecord, b: RunRecord, step: number): string | null {
  const one = a.steps.get(step);
  const other = b.steps.get(step);
  if (one === undefined || other === undefined) return null;
  const tensors = tensorsDifference(one.tensors, other.tensors, a.names.gradients);
  if (tensors !== null) return `gradient of ${tensors}`;
  const fields = [
    ["samples", "number of samples"],
    ["weight", "weight of the samples"],
    ["loss", "loss"],
    ["gradNorm", "norm of the gradient"],
    ["learningRate", "learning rate"],
  ] as const;
  for (const [field, name] of fields) {
    if (!Object.is(one[field], other[field])) return `${name}: ${one[field]} and ${other[field]}`;
  }
  return null;
}

function weightsDifference(a: RunRecord, b: RunRecord, step: number): string | null {
  const one = a.weights.get(step);
  const other = b.weights.get(step);
  if (one === undefined || other === undefined) return null;
  const tensors = tensorsDifference(one.tensors, other.tensors, a.names.weights);
  return tensors === null ? null : `weights after it: ${tensors}`;
}

function tensorsDifference(
  one: readonly string[],
  other: readonly string[],
  names: readonly string[],
): string | null {
  if (one.length !== other.length) return `other tensors: ${one.length} and ${other.length}`;
  const first = firstDifference(one, other);
  if (first === null) return null;
  const more = one.filter((hash, place) => hash !== other[place]).length - 1;
  const name = names[first] ?? `tensor ${first}`;
  return more === 0 ? `${name} alone` : `${name} and of ${more} more of ${one.length} tensors`;
}

function settingsDifferences(a: RunRecord, b: RunRecord): readonly Difference[] {
  const names = [...new Set([...a.settings.keys(), ...b.settings.keys()])];
  return names.flatMap((name) => {
    const one = a.settings.get(name) ?? "not given";
    const other = b.settings.get(name) ?? "not given";
    return one === other || freeSettings.has(name) ? [] : [{ name, a: one, b: other }];
  });
}

/** What a worker says of its host that decides its bits; the rest (host name, cores) does not. */
const decidingFacts = [
  "cpu",
  "cpu_features",
  "gpu",
  "gpu_driver",
  "tensorflow",
  "platform",
  "node",
] as const;

function machineDifferences(a: RunRecord, b: RunRecord): readonly Difference[] {
  return decidingFacts.flatMap((name) => {
    const [one, other] = [a, b].map((run) => factOf(run, name));
    return one === other ? [] : [{ name, a: one ?? "", b: other ?? "" }];
  });
}

function factOf({ rings }: RunRecord, name: string): string {
  const members = rings.flatMap((ring) => ring.members);
  const values = new Set(members.map(({ environment }) => environment[name] ?? "none"));
  return [...values].sort().join(" | ");
}
