/** The engine of one thread: prepares programs from a model, recorded or eager, and runs them over one state. */
import { parseTable, type ParameterTable } from "../../foundation/parameters/table.ts";
import type { Batch, Model } from "../model/model.ts";
import { exactAddonFile } from "../../foundation/native/addon-files.ts";
import { MemoryFiles } from "../exact/memory-files.ts";
import { carryState } from "./carry-state.ts";
import { loadBinding, type OwnBinding } from "./binding.ts";
import { dropoutSeed } from "./dropout-seed.ts";
import { EngineProfiler, type EngineProfile } from "./engine-profiler.ts";
import type {
  Engine,
  EngineState,
  EvaluationResult,
  MicrobatchPlace,
  NormResult,
  PhaseInfo,
  PhaseResult,
  PreparedPrograms,
  UpdateOptions,
  PrepareOptions,
} from "./engine.ts";
import { GraphRunner } from "./graph-runner.ts";
import { parameterOf } from "./graph-variables.ts";
import { measureMatmulPeak } from "./matmul-peak.ts";
import { ownProductsHere } from "./own-products-here.ts";
import { sumOfSquares, updateScalars } from "./optimizer-scalars.ts";
import { withPrograms, writeStored } from "./program-cache.ts";
import type { ProgramRunner } from "./program-runner.ts";
import { layOutReduction } from "./reduction-layout.ts";
import { releaseState } from "./release-state.ts";
import type { RowTensor } from "./row-tensors.ts";
import type { RunMarks } from "./write-marks.ts";

/** Makes the model of a job: injected, so that the engine knows no model. */
export type ModelMaker = (options: PrepareOptions) => Promise<Model>;

/** Records a job's programs into a folder. */
export type ProgramRecorder = (options: PrepareOptions, folder: string) => Promise<void>;

interface Prepared {
  readonly options: PrepareOptions;
  readonly table: ParameterTable;
  readonly runner: ProgramRunner;
  readonly phases: readonly PhaseInfo[];
}

/** Programs with what the step loop needs to know of them. */
interface Made {
  readonly runner: ProgramRunner;
  readonly phases: readonly PhaseInfo[];
  readonly rowTensors: readonly RowTensor[];
  readonly fromCache: boolean;
}

/** Computes in the thread that made it. */
export class TfjsEngine implements Engine {
  readonly #bindingFile: string;
  readonly #binding: OwnBinding;
  readonly #makeModel: ModelMaker;
  readonly #record: ProgramRecorder;
  readonly #nowMs: () => number;
  readonly #files: MemoryFiles | null;
  #prepared: Prepared | null = null;
  #step = 0;
  /** What `norm` found, for the update of the same vector. */
  #norm: NormResult | null = null;
  /** What `takeWeights` completes. */
  #shareUpdated: { readonly step: number; readonly bufferScale: number } | null = null;
  #profiler: EngineProfiler | null = null;
  #peakFlops: number | null = null;

  /** @param record what records programs; by default this thread does, from the model */
  constructor(
    bindingFile: string,
    makeModel: ModelMaker,
    nowMs: () => number,
    record?: ProgramRecorder,
  ) {
    this.#bindingFile = bindingFile;
    this.#binding = loadBinding(bindingFile);
    this.#makeModel = makeModel;
    this.#record = record ?? ((options, folder) => this.#recordHere(options, folder));
    this.#nowMs = nowMs;
    this.#files = MemoryFiles.load(exactAddonFile(bindingFile));
  }

  async prepare(options: PrepareOptions): Promise<PreparedPrograms> {
    const start = this.#nowMs();
    const table = parseTable(options.tableJson);
    const made = options.eager
      ? await this.#eager(options, table)
      : await this.#recorded(options, table);
    this.#prepared?.runner.close();
    made.runner.trace(this.#profiler);
    this.#prepared = { options, table, runner: made.runner, phases: made.phases };
    this.#norm = null;
    const { size, parts } = layOutReduction(table);
    return {
      tableVersion: table.version,
      prepareMs: this.#nowMs() - start,
      fromCache: made.fromCache,
      phases: made.phases,
      reductionSize: size,
      reductionParts: parts,
      rowParts: made.rowTensors.map(({ part, rows, capacity }) => ({ part, rows, capacity })),
    };
  }

  async #eager(options: PrepareOptions, table: ParameterTable): Promise<Made> {
    const { runEagerly } = await this.#fromModel();
    const model = await this.#makeModel(options);
    return { ...runEagerly(this.#bindingFile, model, table, options), fromCache: false };
  }

  /** tfjs and the model's code, which recorded programs do without. */
  #fromModel() {
    return import("./from-model.ts");
  }

  async #recordHere(options: PrepareOptions, folder: string): Promise<void> {
    const { recordModel } = await this.#fromModel();
    const model = await this.#makeModel(options);
    const table = parseTable(options.tableJson);
    writeStored(folder, recordModel(this.#bindingFile, model, table, options));
  }

  async #recorded(options: PrepareOptions, table: ParameterTable): Promise<Made> {
    const { training, zeroStage = 0 } = options;
    return await withPrograms(
      options,
      this.#binding,
      (folder) => this.#record(options, folder),
      (folder, index, fromCache) => {
        const { phases, rowTensors } = index;
        const runner = new GraphRunner(this.#binding, folder, {
          index,
          table,
          training,
          zeroStage,
          files: this.#files,
        });
        return { runner, phases, rowTensors, fromCache };
      },
    );
  }

  #ready(): Prepared {
    if (this.#prepared === null) throw new Error("Cannot compute before programs are prepared");
    return this.#prepared;
  }

  loadState(state: EngineState): Promise<void> {
    this.#ready().runner.loadState(state);
    this.#step = state.step;
    // What the start needed is over now, and the first step has not taken its memory yet.
    this.#binding.releaseMemory();
    return Promise.resolve();
  }

  readState(withOptimizer: boolean, run?: RunMarks): Promise<EngineState> {
    return Promise.resolve(this.#ready().runner.readState(withOptimizer, this.#step, run));
  }

  giveBack(state: EngineState): Promise<void> {
    releaseState(this.#binding, state);
    this.#prepared?.runner.takeBack(state);
    return Promise.resolve();
  }

  runPhase(
    phase: number,
    batch: Batch,
    at: MicrobatchPlace,
    feeds: {
      readonly gathered: Readonly<Record<string, Float32Array>>;
      readonly into: Float32Array;
      readonly lossScale?: number;
      readonly marks?: RunMarks;
    },
  ): Promise<PhaseResult> {
    const { runner, phases, options } = this.#ready();
    const info = phases[phase];
    if (info === undefined)
      throw new RangeError(`Cannot run phase ${phase}: there are ${phases.length}`);
    const seed = dropoutSeed(options.seed, at.step, at.microbatch);
    const { gathered, lossScale = 1 } = feeds;
    const fed = { gathered, seed, lossScale };
    const detail = `microbatch ${at.microbatch}, ${batch.shapeKey}`;
    const result = this.#timed(info.name, detail, (): PhaseResult =>
      info.collective === "gather"
        ? { gathered: runner.runGather(phase, batch, fed) }
        : { touched: runner.runSum(phase, batch, fed, feeds) },
    );
    return Promise.resolve(result);
  }

  norm(reduced: Float32Array, squares?: number): Promise<NormResult> {
    const { table, runner } = this.#ready();
    const { lossOffset, weightOffset } = layOutReduction(table);
    const sum = this.#timed("norm", "", () => {
      runner.takeReduced(reduced);
      return squares ?? sumOfSquares(reduced.subarray(0, table.trainableSize));
    });
    const weight = reduced[weightOffset] ?? Number.NaN;
    const lossSum = reduced[lossOffset] ?? Number.NaN;
    this.#norm = { gradNorm: Math.sqrt(sum) / weight, lossSum, weight };
    return Promise.resolve(this.#norm);
  }

  update(place: UpdateOptions) {
    const { runner } = this.#ready();
    const start = this.#nowMs();
    const scalars = this.#scalars(place);
    this.#timed("update", "", () => runner.update(scalars));
    this.#step = place.step;
    this.#norm = null;
    return Promise.resolve({ updateMs: this.#nowMs() - start });
  }

  skip(step: number): Promise<void> {
    this.#step = step;
    this.#norm = null;
    return Promise.resolve();
  }

  updateShare(place: UpdateOptions) {
    const { runner } = this.#ready();
    const start = this.#nowMs();
    const scalars = this.#scalars(place);
    this.#timed("update", "own share", () => runner.updateShare(scalars));
    this.#norm = null;
    this.#shareUpdated = { step: place.step, bufferScale: scalars.bufferScale };
    return Promise.resolve({ updateMs: this.#nowMs() - start });
  }

  takeWeights(): Promise<void> {
    const { runner } = this.#ready();
    const updated = this.#shareUpdated;
    if (updated === null) throw new Error("Cannot take weights before a share was updated");
    this.#timed("update", "all shares", () => runner.takeWeights(updated.bufferScale));
    this.#step = updated.step;
    this.#shareUpdated = null;
    return Promise.resolve();
  }

  #scalars({ step, learningRate, skippedSteps = 0, ...given }: UpdateOptions) {
    if (this.#norm === null) throw new Error("Cannot update before the norm is known");
    const { gradNorm, weight } = { ...this.#norm, ...given };
    const updates = step - skippedSteps;
    const { optimizer } = this.#ready().options;
    return updateScalars(optimizer, { updates, learningRate, gradNorm, weight });
  }

  evaluate(batch: Batch): Promise<EvaluationResult> {
    const { logits, columns, loss, weight } = this.#ready().runner.evaluate(batch);
    return Promise.resolve({ logits, columns, lossSum: loss, weight });
  }

  startProfile(): Promise<void> {
    const { runner, options } = this.#ready();
    // Once, and before anything is noted: it takes as long as some steps of a small model.
    const { precision } = options;
    const own = ownProductsHere(precision, this.#binding);
    this.#peakFlops ??= measureMatmulPeak(this.#binding, { precision, own }, this.#nowMs);
    this.#profiler = new EngineProfiler(this.#binding, this.#nowMs);
    runner.trace(this.#profiler);
    return Promise.resolve();
  }

  takeProfile(): Promise<EngineProfile> {
    const { runner, table } = this.#ready();
    const profiler = this.#profiler;
    if (profiler === null) throw new Error("Cannot take a profile that was not started");
    this.#profiler = null;
    runner.trace(null);
    const profile = profiler.take((node) => parameterOf(node, table));
    return Promise.resolve({ ...profile, peakFlops: this.#peakFlops ?? 0 });
  }

  #timed<Value>(name: string, detail: string, run: () => Value): Value {
    return this.#profiler === null ? run() : this.#profiler.time(name, detail, run);
  }

  async replacePrograms(options: PrepareOptions): Promise<PreparedPrograms> {
    const { table } = this.#ready();
    if (options.zeroStage === 1)
      throw new Error("Cannot replace programs whose moments are shared out");
    const state = await this.readState(this.#ready().options.training);
    const prepared = await this.prepare(options);
    await this.loadState(carryState(state, table, this.#ready().table));
    return prepared;
  }

  close(): Promise<void> {
    this.#prepared?.runner.close();
    this.#prepared = null;
    return Promise.resolve();
  }
}
