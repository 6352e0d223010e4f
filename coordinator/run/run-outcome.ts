/** How a run ended, for the command that started it. */
import type { WrittenProfile } from "../profile/profiler.ts";
import type { EvaluationView, LengthShares } from "../live/run-view.ts";

/** The end of a run. */
export interface RunOutcome {
  /** `stopped` before its last step by a command or early stopping; `interrupted` by a signal. */
  readonly kind: "completed" | "stopped" | "interrupted" | "failed";
  /** 0, 1 for a failure, 130 after an interrupt. */
  readonly exitCode: 0 | 1 | 130;
  /** One line for a person. */
  readonly reason: string;
  readonly outputDir: string;
  /** Folder with the final model; null when there is none. */
  readonly modelFolder: string | null;
  /** Folder of the newest checkpoint; null when there is none. */
  readonly checkpoint: string | null;
  /** Last committed step. */
  readonly step: number;
  readonly evaluations: readonly EvaluationView[];
  /** What became of the samples' lengths; null when no step was computed. */
  /** What `--profile` wrote; null when it was not asked for, or no profiled step was reached. */
  readonly profile: WrittenProfile | null;
  readonly lengths: (LengthShares & { readonly maxLength: number | null }) | null;
}
