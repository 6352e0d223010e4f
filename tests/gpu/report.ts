/** The report of the acceptance: what was run on what, what came of it, and whether it was passed. Pure. */
import type { Cpu } from "../bench/support/cpu.ts";
import { formatSpread } from "../bench/support/statistics.ts";
import type { ExactResult } from "./exactness.ts";
import type { ParityResult } from "./parity.ts";
import type { AcceptancePlan } from "./plan.ts";
import type { Throughput } from "./throughput.ts";

/** What came of a part; null where it was not asked for, a text where it could not be carried out. */
export type Outcome<Result> = Result | string | null;

/** All of it. */
export interface AcceptanceReport {
  readonly plan: AcceptancePlan;
  readonly cpu: Cpu;
  /** As nvidia-smi has them; empty without one. */
  readonly gpus: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  readonly parity: Outcome<ParityResult>;
  readonly exactness: Outcome<readonly ExactResult[]>;
  readonly throughput: Outcome<Throughput>;
}

/** What speaks against passing; empty where nothing does. Speed is measured and not judged. */
export function shortcomings(report: AcceptanceReport): readonly string[] {
  const { parity, exactness, throughput } = report;
  const broken = Object.entries({ parity, exactness, throughput }).flatMap(([part, outcome]) =>
    typeof outcome === "string" ? [`${part} could not be carried out: ${outcome}`] : [],
  );
  const failed =
    parity === null || typeof parity === "string"
      ? []
      : [
          ...parity.failures.map((failure) => `parity: ${failure}`),
          ...(parity.passed === 0 ? ["parity: no test passed"] : []),
        ];
  const different =
    exactness === null || typeof exactness === "string"
      ? []
      : exactness
          .filter(({ isOne }) => !isOne)
          .map(({ precision }) => `exactness: ${precision} gave more than one hash`);
  return [...broken, ...failed, ...different];
}

function tableOf(rows: readonly (readonly string[])[]): readonly string[] {
  const [head = [], ...body] = rows.map((row) => `| ${row.join(" | ")} |`);
  return [...[head].flat(), `|${"---|".repeat(rows[0]?.length ?? 0)}`, ...body];
}

function exactnessText(results: readonly ExactResult[]): readonly string[] {
  return tableOf([
    ["precision", "run", "workers", "seconds", "SHA-256 of model.safetensors"],
    ...results.flatMap(({ precision, runs }) =>
      runs.map(({ name, workers, seconds, sha256 }) => [
        precision,
        name,
        String(workers),
        seconds.toFixed(0),
        `\`${sha256}\``,
      ]),
    ),
  ]);
}

function throughputText(
  { results }: Throughput,
  { rows, tokens }: AcceptancePlan,
): readonly string[] {
  const modes = [...new Set(results.flatMap(({ peer }) => Object.keys(peer)))];
  const peers = modes.map((mode) => `PyTorch ${mode}`);
  return [
    `Samples a second, ${rows} × ${tokens} tokens per worker: median (least–most).`,
    "",
    ...tableOf([
      ["precision", "workers", "Ringmaster", ...peers, "ours ÷ the better"],
      ...results.map((one) => [
        one.precision,
        String(one.workers),
        formatSpread(one.ours),
        ...modes.map((mode) => {
          const spread = one.peer[mode];
          return spread === undefined ? "–" : formatSpread(spread);
        }),
        one.ratio === null ? "–" : one.ratio.toFixed(2),
      ]),
    ]),
  ];
}

function section<Result>(
  title: string,
  outcome: Outcome<Result>,
  show: (result: Result) => readonly string[],
): readonly string[] {
  if (outcome === null) return ["", `## ${title}`, "", "Not asked for."];
  const lines =
    typeof outcome === "string" ? [`Could not be carried out: ${outcome}`] : show(outcome);
  return ["", `## ${title}`, "", ...lines];
}

/** The report as Markdown. */
export function reportText(report: AcceptanceReport): string {
  const { plan, cpu, gpus, versions, parity, exactness, throughput } = report;
  const wrong = shortcomings(report);
  const devices = plan.device === "gpu" ? gpus : [`${cpu.name}, ${cpu.cores} cores`];
  return [
    `# Acceptance on ${plan.device === "gpu" ? "GPUs" : "a CPU"}${plan.short ? ", short" : ""}: ${wrong.length === 0 ? "passed" : "FAILED"}`,
    "",
    ...devices.map((line) => `- ${line}`),
    ...Object.entries(versions).map(([name, version]) => `- ${name} ${version}`),
    ...(plan.short ? ["- a tiny model and few steps: nothing here says anything about speed"] : []),
    ...(wrong.length === 0 ? [] : ["", ...wrong.map((line) => `**${line}**`)]),
    ...section("Parity", parity, ({ passed, failed }) => [
      `${passed} tests passed, ${failed} failed: values, gradients and updates beside PyTorch's, kernels beside composed forms, precisions beside float32.`,
    ]),
    ...section("Exactness", exactness, exactnessText),
    ...section("Throughput", throughput, (measured) => throughputText(measured, plan)),
    "",
  ].join("\n");
}
