/** Gradients as training computes them: a model's first microbatches of MRPC, by the real engine. */
import { create } from "@bufbuild/protobuf";
import { loadModel } from "../../../foundation/model-files/load-model.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";
import { SampleRecordSchema } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import type { RowPart } from "../../../worker/exact/block-layout.ts";
import { createCollator } from "../../../worker/model/collators.ts";
import { programs, startEngine } from "../../parity/engine-under-test.ts";
import { wholeVector } from "../../support/whole-vector.ts";
import { dataLines } from "./mrpc-files.ts";

/** Tensors that are looked at together. */
export interface TensorGroup {
  readonly name: string;
  readonly elements: number;
  /** Where they lie in the vector, `[first, end)`. */
  readonly stretches: readonly (readonly [number, number])[];
}

/** Gradients and how they are laid out. */
export interface RealGradients {
  /** [gradients | loss | weight] of each microbatch, whole. */
  readonly microbatches: readonly Float32Array[];
  readonly partSizes: readonly number[];
  readonly rowParts: readonly RowPart[];
  /** The first part that is no gradient. */
  readonly wideFrom: number;
  readonly groups: readonly TensorGroup[];
}

/** Which of them a tensor belongs to. */
function groupOf(name: string): string {
  if (name.includes("embeddings.weight") && !name.includes("LayerNorm")) return "embeddings";
  return /bias$|LayerNorm/u.test(name) ? "biases and LayerNorm" : "matrices";
}

/** Computes them. @param train MRPC's training file */
export async function mrpcGradients(
  modelFolder: string,
  train: string,
  form: { readonly microbatches: number; readonly rows: number; readonly maxLength: number },
): Promise<RealGradients> {
  const { rows, maxLength } = form;
  const options = {
    labels: ["0", "1"],
    problemType: "single_label_classification",
    seed: 42,
    requireHead: false,
  } as const;
  const model = await loadModel(modelFolder, options);
  const table = layOutTable(model.specs);
  const engine = await startEngine();
  try {
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
    const microbatches: Float32Array[] = [];
    for (let microbatch = 0; microbatch < form.microbatches; microbatch++) {
      const samples = lines.slice(microbatch * rows, (microbatch + 1) * rows).map((line) => {
        const [label = "", , , text = "", textPair = ""] = line.trimEnd().split("\t");
        return create(SampleRecordSchema, {
          text,
          textPair,
          label: Number(label),
        });
      });
      const into = new Float32Array(prepared.reductionSize);
      const at = { step: 1, microbatch, microbatchCount: form.microbatches };
      const result = await engine.runPhase(0, collator.collate(samples, rows), at, {
        gathered: {},
        into,
      });
      microbatches.push(wholeVector(prepared, into, result));
    }
    const trainable = table.entries.filter((entry) => entry.trainableOffset !== null);
    const placed = trainable.map(({ name, trainableOffset, size }) => ({
      group: groupOf(name),
      stretch: [trainableOffset ?? 0, (trainableOffset ?? 0) + size] as const,
    }));
    const names = ["all", ...new Set(placed.map(({ group }) => group))];
    const groups = names.map((name) => {
      const stretches = placed
        .filter(({ group }) => name === "all" || group === name)
        .map(({ stretch }) => stretch);
      return {
        name,
        stretches,
        elements: stretches.reduce((sum, [first, end]) => sum + end - first, 0),
      };
    });
    return {
      microbatches,
      partSizes: prepared.reductionParts,
      rowParts: prepared.rowParts,
      wideFrom: trainable.length,
      groups,
    };
  } finally {
    await engine.close();
  }
}
