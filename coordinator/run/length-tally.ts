/** What became of the samples' lengths since the run was started: how many were cut, how much was padding. */
import type { LengthShares } from "../live/run-view.ts";
import type { StepReduced } from "../../proto/gen/ringmaster/v1/run_pb.ts";

/** What a rank's report says of lengths. */
export type LengthReport = Pick<
  StepReduced,
  "samples" | "tokens" | "paddedTokens" | "truncatedSamples"
>;

/** Adds up the ranks' reports of committed steps. */
export class LengthTally {
  #samples = 0;
  #truncated = 0;
  #tokens = 0;
  #paddedTokens = 0;

  /** Takes the ranks' reports of a step. */
  add(reports: Iterable<LengthReport>): void {
    for (const { samples, tokens, paddedTokens, truncatedSamples } of reports) {
      this.#samples += samples;
      this.#truncated += truncatedSamples;
      this.#tokens += Number(tokens);
      this.#paddedTokens += Number(paddedTokens);
    }
  }

  /** The shares so far; 0 before the first step, and for a model that reads no text. */
  get shares(): LengthShares {
    return {
      truncated: this.#samples === 0 ? 0 : this.#truncated / this.#samples,
      padding: this.#paddedTokens === 0 ? 0 : 1 - this.#tokens / this.#paddedTokens,
    };
  }
}
