/** Trains ResNet-18 on random images through the engine; a process of its own, with the workers' settings. */
import { z } from "zod";
import {
  cifarResnetTensors,
  parseCifarResnetConfig,
} from "../../../foundation/families/cifar-resnet.ts";
import { layOutTable, serializeTable } from "../../../foundation/parameters/table.ts";
import { TfjsEngine } from "../../../worker/engine/tfjs-engine.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { createCifarResnet } from "../../../worker/model/cifar-resnet.ts";
import { convConfig } from "./conv-floor.ts";

const jobSchema = z.object({
  bindingFile: z.string(),
  rows: z.number(),
  imageSize: z.number(),
  hiddenSizes: z.array(z.number()),
  convolutionTable: z.number(),
});
const orderSchema = z.object({ steps: z.number() });

async function prepare(job: z.infer<typeof jobSchema>) {
  const config = convConfig(job);
  const specs = cifarResnetTensors(parseCifarResnetConfig(config));
  const table = layOutTable(specs);
  const options = {
    family: "cifar-resnet",
    configJson: JSON.stringify(config),
    tableJson: serializeTable(table),
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 },
    microbatchSize: job.rows,
    evalMicrobatchSize: job.rows,
    bucketLengths: [],
    maxLength: 1,
    labelSmoothing: 0,
    convolutionTable: job.convolutionTable,
    seed: 1n,
    training: true,
    eager: false,
    precision: "fp32" as const,
    gradientCheckpointing: false,
    microbatchesPerStep: 1,
    cacheFolder: null,
  };
  const engine = new TfjsEngine(
    job.bindingFile,
    (given) => Promise.resolve(createCifarResnet(given)),
    () => performance.now(),
  );
  const prepared = await engine.prepare(options);
  const parameters = new Float32Array(table.stateSize);
  for (const { shape, offset, size, name } of table.entries) {
    const [height = 0, width = 0, inputs = 0] = shape;
    const spread = shape.length === 4 ? Math.sqrt(6 / (height * width * inputs)) : 0.05;
    const isScale = shape.length === 1 && /(weight|running_var)$/.test(name);
    for (let i = 0; i < size; i++) {
      parameters[offset + i] = isScale ? 1 : spread * Math.sin(i * 12.9898 + size);
    }
  }
  await engine.loadState({ parameters, step: 0 });
  const batch = createCifarResnet(options).exampleBatch("values", "train", 0);
  const into = allocateShared(prepared.reductionSize);
  return async (step: number): Promise<void> => {
    const place = { step, microbatch: 0, microbatchCount: 1 };
    await engine.runPhase(0, batch, place, { gathered: {}, into });
    const { gradNorm } = await engine.norm(into);
    if (!Number.isFinite(gradNorm)) throw new Error(`The norm is ${gradNorm}`);
    await engine.update({ step, learningRate: 1e-3 });
  };
}

let step = 0;
let train: ((step: number) => Promise<void>) | null = null;

async function obey(message: unknown): Promise<unknown> {
  if (train === null) {
    train = await prepare(jobSchema.parse(message));
    return { ready: true };
  }
  const ms: number[] = [];
  const cpuMs: number[] = [];
  for (let left = orderSchema.parse(message).steps; left > 0; left--) {
    const [start, busy] = [performance.now(), process.cpuUsage()];
    await train(++step);
    ms.push(performance.now() - start);
    const { user, system } = process.cpuUsage(busy);
    cpuMs.push((user + system) / 1000);
  }
  return { ms, cpuMs };
}

process.on("message", (message) => {
  obey(message).then(
    (answer) => process.connected && process.send?.(answer),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
