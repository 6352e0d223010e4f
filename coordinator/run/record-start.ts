/** The beginning of a run, recorded wherever it is recorded. */
import { reducedNames } from "../../foundation/parameters/table.ts";
import { eventOf } from "../nats/cloud-event.ts";
import type { RingPlan } from "../server/ring-plan.ts";
import type { AcceptedCommand } from "./control.ts";
import type { RunPlan } from "./plan-run.ts";
import type { RunContext } from "./run-context.ts";

/** Records what is about to be trained, and the commands of the run that it goes on from. */
export async function recordStart(planned: RunPlan, context: RunContext): Promise<void> {
  const { settings, launch, plan, replay } = planned;
  const fromStep = context.progress.step;
  await recordStretch(context, launch.workers, replay);
  const { dataset, trainFiles } = settings.data;
  context.events.publish(
    eventOf({
      case: "runStarted",
      value: {
        model: settings.model,
        dataset: dataset ?? trainFiles.join(", "),
        worldSize: launch.workers,
        totalSteps: BigInt(plan.totalSteps),
        resumedFromStep: BigInt(fromStep),
      },
    }),
  );
}

/** Records that steps follow from the last committed one on, and the commands that are known of already. */
export async function recordStretch(
  { journal, run, plan, table, settings, progress }: RunContext,
  workers: number,
  commands: readonly AcceptedCommand[],
): Promise<void> {
  await journal.append({
    kind: "run",
    run,
    fromStep: progress.step,
    totalSteps: plan.totalSteps,
    tableVersion: table.version,
    workers,
    seed: settings.seed,
    tensors: [...reducedNames(table)],
    weights: table.entries.map(({ name }) => name),
  });
  for (const { id, verb, step, value } of commands) {
    await journal.append({ kind: "command", id, verb, step, value });
  }
}

/** Records who computes from here on, and on what. */
export async function recordRing(
  run: RunContext,
  ring: RingPlan,
  threads: number | null,
): Promise<void> {
  await run.journal.append({
    kind: "ring",
    generation: Number(ring.generation),
    step: run.progress.step,
    threads,
    members: ring.members.map(({ workerId, environment }) => ({ workerId, environment })),
  });
}
