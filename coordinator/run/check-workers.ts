/** What the workers said when they had prepared: the same parameter table, and the same bits. */
import { BadInput } from "../../foundation/bad-input.ts";
import type { Prepared } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Member } from "../server/membership.ts";
import { describeMachine, judgeMachines } from "../server/same-machines.ts";
import type { MachinesVerdict } from "../server/same-machines.ts";
import type { RunContext } from "./run-context.ts";

/** Whether the workers' machines are to be compared: those of one host are one machine, unless its GPUs are of several kinds. */
export function needSelfTest(members: readonly Pick<Member, "hostId" | "environment">[]): boolean {
  const hosts = new Set(members.map(({ hostId }) => hostId));
  return (
    hosts.size > 1 || members.some(({ environment }) => / and /u.test(environment["gpu"] ?? ""))
  );
}

/**
 * Throws when a worker has another table, BadInput when it computes other bits and that is not allowed.
 * @param members who is to train together @param prepared what each said, by worker id
 */
export function checkWorkers(
  { table, settings, launch, view }: Pick<RunContext, "table" | "settings" | "launch" | "view">,
  members: readonly Member[],
  prepared: ReadonlyMap<string, Prepared>,
): void {
  const other = [...prepared.values()].find((one) => one.tableVersion !== table.version);
  if (other !== undefined) {
    throw new Error(
      `Cannot train as a worker has parameter table ${other.tableVersion}: the coordinator has ${table.version}`,
    );
  }
  const machines = members.map(({ workerId, environment }) => ({
    workerId,
    environment,
    selfTest: prepared.get(workerId)?.selfTest ?? null,
  }));
  const verdict = judgeMachines(machines, {
    allowMixed: launch.allowMixedHardware,
    hasOwners: settings.zeroStage === 1,
  });
  if (verdict.kind !== "same") for (const line of machines.map(describeMachine)) view.say(line);
  const warning = warningOf(verdict);
  if (warning !== null) view.say(warning);
}

/** Throws BadInput for what is refused. */
function warningOf(verdict: MachinesVerdict): string | null {
  switch (verdict.kind) {
    case "same":
      return null;
    case "mixed":
      return `mixed hardware: ${verdict.reason} on fixed inputs; the result depends on who computes what, and will not be bit-equal to another run's`;
    case "refused":
      throw new BadInput({
        expected: "workers that compute the same bits",
        found: verdict.reason,
        remedy: "--allow-mixed-hardware gives up bit equality",
      });
    case "drifting":
      throw new BadInput({
        expected: "workers that update weights to the same bits",
        found: verdict.reason,
        remedy: "run without that machine: its copy of the weights would drift from the others'",
      });
  }
}
