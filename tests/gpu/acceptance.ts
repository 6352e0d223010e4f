/**
 * `npm run test:gpu [-- --workers 1,2 --precision fp32,bf16,fp16 --parts parity,exactness,throughput --report FOLDER]`: the whole
 * acceptance for a machine with GPUs, and one report: parity with PyTorch, one hash for any number of workers, samples a second
 * beside PyTorch on the same GPUs. Exit code 0: passed; 1: not; 2: no GPU, or a flag that cannot be used.
 * `--device cpu --short` tries the harness on a tiny model without a GPU; `--no-peer` leaves PyTorch out.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { presentGpus } from "../../foundation/host/graphics-cards.ts";
import { tensorflowVersion } from "../../foundation/native/pins.ts";
import { runBench } from "../bench/support/bench-flags.ts";
import { runCoordinator } from "../bench/support/coordinator.ts";
import { describeCpu } from "../bench/support/cpu.ts";
import { benchFolder } from "../bench/support/leftovers.ts";
import { tellProgress } from "../bench/support/report.ts";
import { sourceVersion } from "../bench/support/result-store.ts";
import { testExactness } from "./exactness.ts";
import { testParity } from "./parity.ts";
import { planAcceptance, type AcceptancePlan, type Part } from "./plan.ts";
import { reportText, shortcomings, type AcceptanceReport, type Outcome } from "./report.ts";
import { measureThroughput, type Throughput } from "./throughput.ts";

/** GPUs by name, memory and driver; empty where nvidia-smi is not there. */
function listGpus(): readonly string[] {
  const query = ["--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader"];
  const { stdout } = spawnSync("nvidia-smi", query, { encoding: "utf8" });
  return (stdout ?? "").split("\n").filter((line) => line.trim() !== "");
}

/** Carries out a part if it is asked for; what goes wrong in it is reported, and the others go on. */
async function carryOut<Result>(
  plan: AcceptancePlan,
  part: Part,
  run: () => Promise<Result>,
): Promise<Outcome<Result>> {
  if (!plan.parts.includes(part)) return null;
  tellProgress(`${part} …`);
  try {
    return await run();
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    tellProgress(`${part}: ${words}`);
    return words;
  }
}

function versionsOf(throughput: Outcome<Throughput>): Readonly<Record<string, string>> {
  const peer = throughput === null || typeof throughput === "string" ? null : throughput.versions;
  const own = { ringmaster: sourceVersion(), node: process.versions.node };
  return { ...own, tensorflow: tensorflowVersion, ...peer };
}

async function main(): Promise<void> {
  const visibleDevices = process.env["CUDA_VISIBLE_DEVICES"];
  const plan = planAcceptance(process.argv.slice(2), presentGpus(), visibleDevices);
  const folder = benchFolder("gpu");
  try {
    await runCoordinator(["setup", "--device", plan.device]);
    const parity = await carryOut(plan, "parity", () => testParity(plan));
    const exactness = await carryOut(plan, "exactness", () => testExactness(plan, folder));
    const throughput = await carryOut(plan, "throughput", () => measureThroughput(plan, folder));
    const report: AcceptanceReport = {
      plan,
      cpu: describeCpu(),
      gpus: listGpus(),
      versions: versionsOf(throughput),
      parity,
      exactness,
      throughput,
    };
    const wrong = shortcomings(report);
    const text = reportText(report);
    const json = JSON.stringify({ test: "gpu", passed: wrong.length === 0, wrong, ...report });
    mkdirSync(plan.reportFolder, { recursive: true });
    writeFileSync(join(plan.reportFolder, "report.md"), text);
    writeFileSync(join(plan.reportFolder, "report.json"), `${json}\n`);
    console.log(`${text}\n${json}`);
    if (wrong.length > 0) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
