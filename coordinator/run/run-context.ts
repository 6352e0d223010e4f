/** Everything that a run in progress is made of, put together by `run-job.ts` and passed to the parts that carry it on. */
import type { JobSettings, LaunchSettings } from "../../foundation/job/settings.ts";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { Prepared } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { TrainingState } from "../server/state-stream.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Profiler } from "../profile/profiler.ts";
import type { RunView, WorkerTimings } from "../live/run-view.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { Control } from "./control.ts";
import type { Evaluator } from "./evaluation.ts";
import type { Fleet } from "./fleet.ts";
import type { Journal } from "./journal.ts";
import type { LengthTally } from "./length-tally.ts";
import type { Progress } from "./progress.ts";
import type { EventSink } from "./run-events.ts";
import type { Saving } from "./saving.ts";
import type { Speedometer } from "./speedometer.ts";
import type { StateRequests } from "./state-requests.ts";
import type { WeightCheck } from "./weight-check.ts";
import type { TrainingPlan } from "./training-plan.ts";

/** Time, as an argument. */
export interface Clock {
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
  /** The time of day. */
  readonly now: () => Date;
}

/** The first Ctrl-C asks to finish the step and leave, the second to leave now. */
export interface Interrupts {
  readonly finish: AbortSignal;
  readonly leave: AbortSignal;
}

/** A run in progress. */
export interface RunContext {
  readonly run: string;
  readonly settings: JobSettings;
  readonly launch: LaunchSettings;
  readonly model: LoadedModel;
  readonly table: ParameterTable;
  readonly plan: TrainingPlan;
  /** Null when there is nothing to evaluate on. */
  readonly validation: Dataset | null;
  readonly fleet: Fleet;
  readonly control: Control;
  readonly journal: Journal;
  readonly events: EventSink;
  readonly telemetry: Telemetry;
  readonly view: RunView;
  readonly evaluator: Evaluator;
  readonly progress: Progress;
  readonly checkpoints: Checkpoints;
  readonly states: StateRequests;
  readonly saving: Saving;
  readonly weights: WeightCheck;
  /** Where each worker's last step went, by worker id. */
  readonly timings: Map<string, WorkerTimings>;
  /** What each worker said when it had prepared, by worker id. */
  readonly preparedOf: Map<string, Prepared>;
  /** The state that workers which enter a ring read; null while none does. */
  readonly offer: { state: TrainingState | null };
  readonly profiler: Profiler;
  readonly speedometer: Speedometer;
  readonly lengths: LengthTally;
  readonly clock: Clock;
  readonly interrupts: Interrupts;
}
