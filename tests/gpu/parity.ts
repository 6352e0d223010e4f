/**
 * Parity: the tests that compare with PyTorch's stored values, with composed forms and between precisions, run with their
 * engines on the device.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { endWithBench } from "../bench/support/leftovers.ts";
import type { AcceptancePlan } from "./plan.ts";

const tests = dirname(dirname(fileURLToPath(import.meta.url)));

/** What a small harness check takes, and what is added to it. */
const few = ["parity/bert-tiny.test.ts", "worker/engine/half-precision.test.ts"];
const all = [
  ...few,
  "parity/minilm.test.ts",
  "parity/resnet.test.ts",
  "worker/engine/kernels.test.ts",
];

/** What came of the tests. */
export interface ParityResult {
  readonly passed: number;
  readonly failed: number;
  /** The tests that failed, and why. */
  readonly failures: readonly string[];
}

/** Counts and failures in what node's runner prints as TAP. Pure. Null where it has not come to its end. */
export function readTap(output: string): ParityResult | null {
  const countOf = (word: string): number | null => {
    const found = new RegExp(`^# ${word} (\\d+)$`, "mu").exec(output)?.[1];
    return found === undefined ? null : Number(found);
  };
  const [passed, failed] = [countOf("pass"), countOf("fail")];
  if (passed === null || failed === null) return null;
  const failures = output.split("\n").flatMap((line, place, lines) => {
    const name = /^\s*not ok \d+ - (.+)$/u.exec(line)?.[1];
    if (name === undefined) return [];
    const details =
      lines
        .slice(place + 1)
        .join("\n")
        .split(/^\s*\.\.\.$/mu)[0] ?? "";
    // A suite fails because a test in it does.
    if (/type: 'suite'/u.test(details)) return [];
    const reason = /error: (?:\|-\n\s*)?'?([^\n]+?)'?$/mu.exec(details)?.[1] ?? "";
    return [reason === "" ? name : `${name}: ${reason}`];
  });
  const named = failures.length === 0 && failed > 0 ? [`${failed} tests failed`] : failures;
  return { passed, failed, failures: named };
}

/** Runs the tests on the device. Rejects where the runner itself fails. */
export async function testParity(plan: AcceptancePlan): Promise<ParityResult> {
  const files = (plan.short ? few : all).map((file) => join(tests, file));
  const flags = ["--import", "tsx", "--test", "--test-concurrency=1", "--test-reporter=tap"];
  const child = spawn(process.execPath, [...flags, ...files], {
    cwd: dirname(tests),
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, RINGMASTER_TEST_DEVICE: plan.device },
    stdio: ["ignore", "pipe", "pipe"],
  });
  endWithBench(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const [code] = await once(child, "close");
  const result = readTap(output);
  if (result === null)
    throw new Error(`the tests ended with ${String(code)}:\n${output.slice(-4000)}`);
  return result;
}
