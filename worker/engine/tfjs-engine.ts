/** The engine of one thread: prepares programs from a model, recorded or eager, and runs them over one state. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mkdtemp, rm } from "node:fs/promises";
import { withProcessLock } from "../../foundation/cache/process-lock.ts";
import { parseTable, type ParameterTable } from "../../foundation/parameters/table.ts";
import type { Batch, Model } from "../model/model.ts";
import { loadBinding, type TracingBinding } from "./binding.ts";
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
  PrepareOptions,
} from "./engine.ts";
import { GraphRunner } from "./graph-runner.ts";
import { parameterOf } from "./graph-variables.ts";
import { measureMatmulPeak } from "./matmul-peak.ts";
import { updateScalars } from "./optimizer-scalars.ts";
import {
  programFolder,
  programKey,
  readStoredIndex,
  removeOldPrograms,
  writeStored,
} from "./program-cache.ts";
import type { ProgramRunner } from "./program-runner.ts";
import type { ProgramIndex } from "./program-index.ts";
import { layOutReduction } from "./reduction-layout.ts";
import type { RowTensor } from "./row-tensors.ts";

/** Makes the model of a job: injected, so that the engine knows no model. */
export type ModelMaker = (options: PrepareOptions) => Promise<Model>;

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
  readonly #binding: TracingBinding;
  readonly #makeModel: ModelMaker;
  readonly #nowMs: () => number;
  #prepared: Prepared | null = null;
  #step = 0;
  /** What `norm` found, for the update of the same vector. */
  #norm: NormResult | null = null;
  #profiler: EngineProfiler | null = null;
  #peakFlops: number | null = null;

  constructor(bindingFile: string, makeModel: ModelMaker, nowMs: () => number) {
    this.#bindingFile = bindingFile;
    this.#binding = loadBinding(bindingFile);
    this.#makeModel = makeModel;
    this.#nowMs = nowMs;
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

  async #recorded(options: PrepareOptions, table: ParameterTable): Promise<Made> {
    const { cacheFolder, training } = options;
    const load = (folder: string, index: ProgramIndex, fromCache: boolean): Made => {
      const { phases, rowTensors } = index;
      const runner = new GraphRunner(this.#binding, folder, { index, table, training });
      return { runner, phases, rowTensors, fromCache };
    };
    const record = async (folder: string): Promise<ProgramIndex> => {
      const { recordModel } = await this.#fromModel();
      const model = await this.#makeModel(options);
      const set = recordModel(this.#bindingFile, model, table, options);
      writeStored(folder, set);
      return set.index;
    };
    if (cacheFolder === null) {
      const parent = await mkdtemp(join(tmpdir(), "ringmaster-programs-"));
      try {
        const folder = join(parent, "programs");
        const index = await record(folder);
        return load(folder, index, false);
      } finally {
        await rm(parent, { recursive: true, force: true });
      }
    }
    const key = programKey(options, this.#binding.TF_Version);
    const folder = programFolder(cacheFolder, key);
    const stored = readStoredIndex(folder);
    if (stored !== null) return load(folder, stored, true);
    const signal = new AbortController().signal;
    return await withProcessLock(
      join(cacheFolder, "locks", `programs-${key}`),
      { signal },
      async () => {
        const since = readStoredIndex(folder);
        const index = since ?? (await record(folder));
        removeOldPrograms(cacheFolder);
        return load(folder, index, since !== null);
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
    return Promise.resolve();
  }

  readState(withOptimizer: boolean): Promise<EngineState> {
    return Promise.resolve(this.#ready().runner.readState(withOptimizer, this.#step));
  }

  runPhase(
    phase: number,
    batch: Batch,
    at: MicrobatchPlace,
    feeds: {
      readonly gathered: Readonly<Record<string, Float32Array>>;
      readonly into: Float32Array;
    },
  ): Promise<PhaseResult> {
    const { runner, phases, options } = this.#ready();
    const info = phases[phase];
    if (info === undefined)
      throw new RangeError(`Cannot run phase ${phase}: there are ${phases.length}`);
    const seed = dropoutSeed(options.seed, at.step, at.microbatch);
    const fed = { gathered: feeds.gathered, seed };
    const detail = `microbatch ${at.microbatch}, ${batch.shapeKey}`;
    const result = this.#timed(info.name, detail, (): PhaseResult =>
      info.collective === "gather"
        ? { gathered: runner.runGather(phase, batch, fed) }
        : { touched: runner.runSum(phase, batch, fed, feeds.into) },
    );
    return Promise.resolve(result);
  }

  norm(reduced: Float32Array): Promise<NormResult> {
    const { table, runner } = this.#ready();
    const { lossOffset, weightOffset } = layOutReduction(table);
    const sum = this.#timed("norm", "", () => runner.takeReduced(reduced));
    const weight = reduced[weightOffset] ?? Number.NaN;
    const lossSum = reduced[lossOffset] ?? Number.NaN;
    this.#norm = { gradNorm: Math.sqrt(sum) / weight, lossSum, weight };
    return Promise.resolve(this.#norm);
  }

  update(place: { readonly step: number; readonly learningRate: number }) {
    const { runner, options } = this.#ready();
    if (this.#norm === null) throw new Error("Cannot update before the norm is known");
    const start = this.#nowMs();
    const { gradNorm, weight } = this.#norm;
    const scalars = updateScalars(options.optimizer, { ...place, gradNorm, weight });
    this.#timed("update", "", () => runner.update(scalars));
    this.#step = place.step;
    this.#norm = null;
    return Promise.resolve({ updateMs: this.#nowMs() - start });
  }

  evaluate(batch: Batch): Promise<EvaluationResult> {
    const { logits, columns, loss, weight } = this.#ready().runner.evaluate(batch);
    return Promise.resolve({ logits, columns, lossSum: loss, weight });
  }

  startProfile(): Promise<void> {
    const { runner, options } = this.#ready();
    // Once, and before anything is noted: it takes as long as some steps of a small model.
    this.#peakFlops ??= measureMatmulPeak(this.#binding, options.bf16, this.#nowMs);
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

/** A state in the layout of another table of the same tensors: moments follow what still trains, new ones are zero. */
function carryState(state: EngineState, from: ParameterTable, to: ParameterTable): EngineState {
  const move = (source: Float32Array | undefined): Float32Array => {
    const target = new Float32Array(to.trainableSize);
    for (const entry of to.entries) {
      const before =
        from.entries.find((candidate) => candidate.name === entry.name)?.trainableOffset ?? null;
      if (entry.trainableOffset === null || before === null || source === undefined) continue;
      target.set(source.subarray(before, before + entry.size), entry.trainableOffset);
    }
    return target;
  };
  if (from.stateSize !== to.stateSize) {
    throw new Error("Cannot replace programs: the new table has other tensors");
  }
  return {
    parameters: state.parameters,
    step: state.step,
    firstMoment: move(state.firstMoment),
    secondMoment: move(state.secondMoment),
  };
}
