/** A job's gradient program as it is recorded, and after each pass: for tests of what is in it. */
import { parseTable } from "../../foundation/parameters/table.ts";
import type { PrepareOptions } from "../../worker/engine/engine.ts";
import { passesFor } from "../../worker/engine/graph-passes.ts";
import { programSources } from "../../worker/engine/program-set.ts";
import { recordPrograms } from "../../worker/engine/record-programs.ts";
import type { Recording } from "../../worker/engine/recorder.ts";
import { startBackend } from "../../worker/engine/tensorflow-backend.ts";
import { createModel } from "../../worker/model/families.ts";
import { bindingUnderTest } from "./engine-under-test.ts";

/** A recording and the passes that it has gone through. */
export interface RewrittenRecording {
  /** The last pass's name; `recorded` before the first. */
  readonly after: string;
  readonly recording: Recording;
}

/** The job's gradient program, float32 on a CPU: as recorded, then after each pass. */
export async function gradientProgram(
  options: PrepareOptions,
): Promise<readonly RewrittenRecording[]> {
  const model = await createModel(options.family, options);
  const table = parseTable(options.tableJson);
  const sources = programSources(model, table, options);
  const training = new Map([...sources].filter(([, { gives }]) => gives === "vector").slice(0, 1));
  const recordings = recordPrograms(startBackend(await bindingUnderTest()), table, training);
  const [recorded] = recordings.values();
  if (recorded === undefined) throw new Error("the job has no gradient program");
  const ground = {
    kernels: true,
    ownProducts: "fp32",
    precision: "fp32",
    gradientCheckpointing: options.gradientCheckpointing,
  } as const;
  const steps: RewrittenRecording[] = [{ after: "recorded", recording: recorded }];
  let recording = recorded;
  for (const { name, rewrite } of passesFor(ground, "vector")) {
    recording = rewrite(recording);
    steps.push({ after: name, recording });
  }
  return steps;
}

/** How many nodes there are of each op. */
export function countOps({ nodes }: Recording): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { op } of nodes) counts.set(op, (counts.get(op) ?? 0) + 1);
  return counts;
}
