/** The process that records programs: carries out one request, answers, and is gone. It does not outlive who started it. */
import { Worker } from "node:worker_threads";
import { packError } from "../input/input-messages.ts";
import type { RecordAnswer, RecordRequest } from "./record-process.ts";

/** Recording blocks this thread for some ten seconds, so another one looks whether the parent is still there. */
const watchParent = `
  const { ppid } = process;
  setInterval(() => {
    if (process.ppid !== ppid) process.kill(process.pid, "SIGKILL");
  }, 250);
`;

async function record({ bindingFile, options, folder }: RecordRequest): Promise<void> {
  const [{ parseTable }, { loadBinding }, { createModel }, { recordModel }, { writeStored }] =
    await Promise.all([
      import("../../foundation/parameters/table.ts"),
      import("./binding.ts"),
      import("../model/families.ts"),
      import("./from-model.ts"),
      import("./program-cache.ts"),
    ]);
  loadBinding(bindingFile).releaseMemory();
  const model = await createModel(options.family, options);
  writeStored(folder, recordModel(bindingFile, model, parseTable(options.tableJson), options));
}

async function answerTo(request: RecordRequest): Promise<RecordAnswer> {
  try {
    await record(request);
    return { kind: "recorded" };
  } catch (error) {
    return { kind: "failed", error: packError(error) };
  }
}

new Worker(watchParent, { eval: true, name: "watch-parent" }).unref();
// Only recordApart starts this process, and it sends a RecordRequest.
process.once("message", (request: RecordRequest) => {
  void answerTo(request).then((answer) => process.send?.(answer, () => process.exit(0)));
});
