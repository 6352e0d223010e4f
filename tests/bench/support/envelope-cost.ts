/** Trains on MRPC and keeps envelopes of each block's exponents meanwhile, in several forms. */
import { layOutBlocks } from "../../../worker/exact/block-layout.ts";
import { Envelope, raiseTo, type EnvelopeCost } from "./envelope.ts";
import { startMrpcEngine } from "./mrpc-gradients.ts";
import { tellProgress, type ReportTable } from "./report.ts";

const forms = [0, 0.1, 1].flatMap((decay) => [0, 1, 2, 4].map((headroom) => ({ decay, headroom })));
const learningRate = 5e-5;

/** What envelopes come to. */
export interface EnvelopeCosts {
  /** Blocks of tensors that travel whole; rows are left out, most of which are zero in most steps. */
  readonly blocks: number;
  readonly steps: number;
  readonly costs: readonly EnvelopeCost[];
}

/** @param train MRPC's training file */
export async function measureEnvelopes(
  modelFolder: string,
  train: string,
  form: {
    readonly steps: number;
    readonly microbatches: number;
    readonly rows: number;
    readonly maxLength: number;
  },
): Promise<EnvelopeCosts> {
  const { steps, microbatches } = form;
  const { engine, prepared, table, gradient } = await startMrpcEngine(modelFolder, train, form);
  try {
    const { reductionParts, rowParts } = prepared;
    const layout = layOutBlocks(reductionParts, rowParts);
    const blockCount = layout.bounds.length - 1;
    const isLeftOut = new Uint8Array(blockCount);
    for (const { part } of rowParts)
      isLeftOut.fill(1, layout.firstBlocks[part], layout.firstBlocks[part + 1]);
    const gradients = table.entries.filter(({ trainableOffset }) => trainableOffset !== null);
    isLeftOut.fill(1, layout.firstBlocks[gradients.length]);
    const blocks = isLeftOut.reduce((sum, leftOut) => sum + 1 - leftOut, 0);
    const envelopes = forms.map((each) => new Envelope(each, blockCount));
    for (let step = 1; step <= steps; step++) {
      const exponents = new Uint8Array(blockCount);
      const sum = new Float32Array(layout.bounds.at(-1) ?? 0);
      for (let microbatch = 0; microbatch < microbatches; microbatch++) {
        const at = { step, microbatch, microbatchCount: microbatches };
        const vector = await gradient((step - 1) * microbatches + microbatch, at);
        raiseTo(exponents, vector, layout);
        for (let i = 0; i < sum.length; i++) sum[i]! += vector[i]!;
      }
      for (let block = 0; block < blockCount; block++)
        if (isLeftOut[block] === 1) exponents[block] = 0;
      for (const envelope of envelopes) envelope.step(exponents, step > 1);
      await engine.norm(sum);
      await engine.update({ step, learningRate });
      tellProgress(`envelopes: step ${step} of ${steps}`);
    }
    return { blocks, steps, costs: envelopes.map(({ cost }) => cost) };
  } finally {
    await engine.close();
  }
}

/** A table of them. */
export function envelopeTable({ blocks, steps, costs }: EnvelopeCosts): ReportTable {
  return {
    title: `exponents from past steps instead of this one's: ${steps - 1} steps of training after the first one, ${blocks} blocks of tensors that travel whole`,
    rows: [
      [
        "falls by, bits a step",
        "headroom, bits",
        "blocks that saturate, a step",
        "steps to be done again",
      ],
      ...costs.map(({ form, saturated, redone }) => [
        String(form.decay),
        String(form.headroom),
        (saturated / (steps - 1)).toFixed(1),
        String(redone),
      ]),
      ["this step's, agreed on first", "0", "0.0", "0"],
    ],
  };
}
