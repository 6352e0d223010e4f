/** Gradients as training computes them: a model's first microbatches of MRPC, by the real engine. */
import { create } from "@bufbuild/protobuf";
import { loadModel } from "../../../foundation/model-files/load-model.ts";
import { layOutTable, type ParameterTable } from "../../../foundation/parameters/table.ts";
import { SampleRecordSchema } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { createCollator } from "../../../worker/model/collators.ts";
import type { Engine, MicrobatchPlace, PreparedPrograms } from "../../../worker/engine/engine.ts";
import { programs, startEngine } from "../../parity/engine-under-test.ts";
import { wholeVector } from "../../support/whole-vector.ts";
import { dataLines } from "./mrpc-files.ts";
import { gradientsOf, type RealGradients } from "./real-gradients.ts";

/** Which of them a tensor belongs to. */
function groupOf(name: string): string {
  if (name.includes("embeddings.weight") && !name.includes("LayerNorm")) return "embeddings";
  return /bias$|LayerNorm/u.test(name) ? "biases and LayerNorm" : "matrices";
}

/** An engine with a model, and MRPC's microbatches in the order of the file. */
export interface MrpcEngine {
  readonly engine: Engine;
  readonly prepared: PreparedPrograms;
  readonly table: ParameterTable;
  /** The gradient of the file's `index`-th microbatch, as one of a step, whole. */
  readonly gradient: (index: number, at: MicrobatchPlace) => Promise<Float32Array>;
}

/** Starts it; the engine has to be closed. @param train MRPC's training file */
export async function startMrpcEngine(
  modelFolder: string,
  train: string,
  { rows, maxLength }: { readonly rows: number; readonly maxLength: number },
): Promise<MrpcEngine> {
  const options = {
    labels: ["0", "1"],
    problemType: "single_label_classification",
    seed: 42,
    requireHead: false,
  } as const;
  const model = await loadModel(modelFolder, options);
  const table = layOutTable(model.specs);
  const engine = await startEngine();
  const settings = { ...programs(model.configJson, rows, maxLength) };
  const prepared = await engine.prepare(settings);
  await engine.loadState({ parameters: model.state, step: 0 });
  const collator = await createCollator("bert", {
    configJson: model.configJson,
    tokenizerFiles: model.tokenizerFiles,
    bucketLengths: [maxLength],
    maxLength,
  });
  const lines = dataLines(train);
  return {
    engine,
    prepared,
    table,
    gradient: async (index, at) => {
      const samples = lines.slice(index * rows, (index + 1) * rows).map((line) => {
        const [label = "", , , text = "", textPair = ""] = line.trimEnd().split("\t");
        return create(SampleRecordSchema, { text, textPair, label: Number(label) });
      });
      const into = new Float32Array(prepared.reductionSize);
      const means = { gathered: {}, into };
      const result = await engine.runPhase(0, collator.collate(samples, rows), at, means);
      return wholeVector(prepared, into, result);
    },
  };
}

/** Computes them. @param train MRPC's training file */
export async function mrpcGradients(
  modelFolder: string,
  train: string,
  form: { readonly microbatches: number; readonly rows: number; readonly maxLength: number },
): Promise<RealGradients> {
  const { engine, prepared, table, gradient } = await startMrpcEngine(modelFolder, train, form);
  try {
    const microbatches: Float32Array[] = [];
    for (let microbatch = 0; microbatch < form.microbatches; microbatch++) {
      const at = { step: 1, microbatch, microbatchCount: form.microbatches };
      microbatches.push(await gradient(microbatch, at));
    }
    return gradientsOf(microbatches, { prepared, table, groupOf });
  } finally {
    await engine.close();
  }
}
