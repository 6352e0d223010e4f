/** The engine's thread: owns TensorFlow, whose calls block, and answers one call after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { refuseUnusedGpu } from "../../foundation/host/graphics-cards.ts";
import { loadBinding } from "./binding.ts";
import { packError } from "../input/input-messages.ts";
import type { EngineAnswer, EngineRequest, EngineThreadOptions } from "./engine-messages.ts";
import type { Engine } from "./engine.ts";
import { recordApart } from "./record-process.ts";
import { TfjsEngine } from "./tfjs-engine.ts";

const port = parentPort;
if (port === null) throw new Error("Cannot run engine-thread-main outside of a worker thread");

function answer(message: EngineAnswer): void {
  port?.postMessage(message);
}

function carryOut(engine: Engine, request: EngineRequest): Promise<unknown> {
  switch (request.method) {
    case "prepare":
      return engine.prepare(...request.parameters);
    case "loadState":
      return engine.loadState(...request.parameters);
    case "readState":
      return engine.readState(...request.parameters);
    case "giveBack":
      return engine.giveBack(...request.parameters);
    case "runPhase":
      return engine.runPhase(...request.parameters);
    case "norm":
      return engine.norm(...request.parameters);
    case "update":
      return engine.update(...request.parameters);
    case "skip":
      return engine.skip(...request.parameters);
    case "updateShare":
      return engine.updateShare(...request.parameters);
    case "takeWeights":
      return engine.takeWeights();
    case "evaluate":
      return engine.evaluate(...request.parameters);
    case "startProfile":
      return engine.startProfile();
    case "takeProfile":
      return engine.takeProfile();
    case "replacePrograms":
      return engine.replacePrograms(...request.parameters);
    case "close":
      return engine.close();
  }
}

async function respond(engine: Engine, request: EngineRequest): Promise<void> {
  const { ticket } = request;
  try {
    answer({ kind: "done", ticket, result: await carryOut(engine, request) });
  } catch (error) {
    answer({ kind: "failed", ticket, error: packError(error) });
  }
}

// Only startEngineThread starts this thread, and it passes EngineThreadOptions.
const { bindingFile, device } = workerData as EngineThreadOptions;
try {
  const binding = loadBinding(bindingFile);
  refuseUnusedGpu(device, binding.isUsingGpuDevice());
  const engine = new TfjsEngine(
    bindingFile,
    async (options) => {
      // Loaded where it is needed: programs in the cache were recorded from the same model.
      const { createModel } = await import("../model/families.ts");
      return await createModel(options.family, options);
    },
    // The time of day at the start, and from there a clock that only goes forward: the same in all threads.
    () => performance.timeOrigin + performance.now(),
    (options, folder) => {
      // This process has nothing to do until programs are recorded, when it reads of the library what it uses.
      binding.releaseMemory();
      return recordApart({ bindingFile, options, folder });
    },
  );
  let last: Promise<void> = Promise.resolve();
  port.on("message", (request: EngineRequest) => {
    last = last.then(() => respond(engine, request));
  });
  answer({ kind: "ready" });
} catch (error) {
  answer({ kind: "broken", error: packError(error) });
}
