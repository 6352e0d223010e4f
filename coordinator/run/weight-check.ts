/** Compares the weights of all workers, and records their hashes: every so many steps, and before each checkpoint. */
import { create } from "@bufbuild/protobuf";
import { HashWeightsSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { hashText } from "../server/commit.ts";
import { checkSameWeights } from "./diverged.ts";
import type { RunContext } from "./run-context.ts";

/** Steps whose weights have been compared, of one run. */
export class WeightCheck {
  #last: number | null = null;

  /** The run has gone back: what was compared does not count. */
  forget(): void {
    this.#last = null;
  }

  /** Compares the weights of the last committed step, unless that is done. Throws Diverged, which names the worker. */
  async check(run: RunContext, signal: AbortSignal): Promise<void> {
    const { fleet, progress, table, journal } = run;
    const { step } = progress;
    if (this.#last === step) return;
    const value = create(HashWeightsSchema, { generation: fleet.generation, step: BigInt(step) });
    fleet.broadcast({ case: "hashWeights", value });
    const hashes = await fleet.collect((report) => {
      const isThis = report.case === "weightsHashed" && Number(report.value.step) === step;
      return isThis ? report.value.tensorHashes : undefined;
    }, signal);
    const byRank = fleet.members.map((_, rank) => hashes.get(rank) ?? []);
    checkSameWeights(step, byRank, {
      workers: fleet.members.map(({ workerId }) => workerId),
      tensors: table.entries.map(({ name }) => name),
    });
    this.#last = step;
    await journal.append({ kind: "weights", step, tensors: (byRank[0] ?? []).map(hashText) });
  }
}
