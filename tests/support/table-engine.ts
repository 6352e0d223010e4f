/**
 * An engine over any parameter table that computes next to nothing: every gradient is the same, every update subtracts
 * it. For tests of what the coordinator makes of workers, some of which compute or remember wrongly.
 */
import { shareLength, wholeShare, type Share } from "../../foundation/parameters/shares.ts";
import { parseTable, type ParameterTable } from "../../foundation/parameters/table.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { markAllWritten, type RunMarks } from "../../worker/engine/write-marks.ts";

/** What a worker does wrongly, or late. */
export interface Faults {
  /** Called when it begins a step's program. */
  readonly onPhase?: (step: number) => void;
  /** Called instead of marking a copy of the state as whole. */
  readonly holdCopy?: (run: RunMarks) => void;
  /** Called after each update with the weights, which it may change. */
  readonly afterUpdate?: (step: number, parameters: Float32Array) => void;
  /** The gradient of every parameter; others compute 1. */
  readonly gradient?: number;
  /** What an update multiplies the gradient by beside the learning rate; others take 1. */
  readonly updateScale?: number;
  /** The norm that it finds; others find 1. */
  readonly norm?: number;
}

const loss = 0.5;

/** Makes one. */
export function createTableEngine(faults: Faults = {}): Engine {
  let table: ParameterTable | null = null;
  let parameters = new Float32Array(0);
  let reduced: Float32Array = parameters;
  let appliedStep = 0;
  let share: Share = [];
  return {
    prepare({ tableJson }) {
      table = parseTable(tableJson);
      const sizes = table.entries.map(({ size }) => size);
      return Promise.resolve({
        tableVersion: table.version,
        prepareMs: 1,
        fromCache: false,
        reductionSize: table.stateSize + 2,
        reductionParts: [...sizes, 1, 1],
        rowParts: [],
        phases: [{ name: "loss", collective: "sum" as const, gathered: [] }],
      });
    },
    loadState(state) {
      parameters = Float32Array.from(state.parameters);
      share = state.share ?? wholeShare(parameters.length);
      appliedStep = state.step;
      return Promise.resolve();
    },
    giveBack: () => Promise.resolve(),
    readState(withOptimizer, run) {
      if (run !== undefined) (faults.holdCopy ?? markAllWritten)(run);
      const size = shareLength(share);
      const moments = withOptimizer
        ? { firstMoment: new Float32Array(size), secondMoment: new Float32Array(size), share }
        : {};
      return Promise.resolve({ parameters: parameters.slice(), ...moments, step: appliedStep });
    },
    runPhase(_phase, _batch, { step }, { into }) {
      faults.onPhase?.(step);
      into.fill(faults.gradient ?? 1);
      into.set([loss, 1], into.length - 2);
      return Promise.resolve({});
    },
    norm(vector) {
      reduced = vector;
      const [lossSum = 0, weight = 0] = vector.slice(-2);
      return Promise.resolve({ gradNorm: faults.norm ?? 1, lossSum, weight });
    },
    skip: () => Promise.resolve(),
    update({ step, learningRate }) {
      const scale = learningRate * (faults.updateScale ?? 1);
      for (let i = 0; i < parameters.length; i++) parameters[i]! -= scale * reduced[i]!;
      appliedStep = step;
      faults.afterUpdate?.(step, parameters);
      return Promise.resolve({ updateMs: 0.5 });
    },
    updateShare({ step, learningRate }) {
      const scale = learningRate * (faults.updateScale ?? 1);
      for (const { start, end } of share)
        for (let i = start; i < end; i++) reduced[i] = parameters[i]! - scale * reduced[i]!;
      appliedStep = step;
      return Promise.resolve({ updateMs: 0.5 });
    },
    takeWeights() {
      parameters.set(reduced.subarray(0, parameters.length));
      faults.afterUpdate?.(appliedStep, parameters);
      return Promise.resolve();
    },
    evaluate: () => Promise.reject(new Error("Cannot evaluate")),
    startProfile: () => Promise.resolve(),
    takeProfile: () => Promise.resolve({ spans: [], leftOut: 0, peakFlops: 0 }),
    replacePrograms: () => Promise.reject(new Error("Cannot replace programs")),
    close: () => Promise.resolve(),
  };
}
