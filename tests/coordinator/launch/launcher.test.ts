import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { LocalLauncher } from "../../../coordinator/launch/local-launcher.ts";
import { numbersIn } from "../../../foundation/host/memory-nodes.ts";
import { WaitingLauncher } from "../../../coordinator/launch/waiting-launcher.ts";
import { describeLauncher, orderOf } from "../../contract/launcher-contract.ts";
import { workerProcess } from "../../support/story-run.ts";

const program = fileURLToPath(new URL("../../support/idle-worker.mjs", import.meta.url));

/** Waits until the worker of each place has written its line. */
async function untilThere(logFolder: string, places: readonly number[]): Promise<void> {
  for (const place of places) {
    const file = join(logFolder, `worker-${place}.log`);
    while (!(await readFile(file, "utf8").catch(() => "")).includes("is there")) await sleep(20);
  }
}

function launcherInto(
  logFolder: string,
  memoryNodes?: readonly (readonly number[])[],
): LocalLauncher {
  return new LocalLauncher({
    env: { ...process.env, LAUNCHER_TEST: logFolder },
    platform: process.platform,
    logFolder,
    bindingFile: "/nowhere",
    tensorflowVersion: "0",
    device: "cpu",
    program,
    ...(memoryNodes === undefined ? {} : { memoryNodes }),
  });
}

describeLauncher("LocalLauncher", async () => {
  const logFolder = await mkdtemp(join(tmpdir(), "launcher-"));
  const launcher = launcherInto(logFolder);
  return {
    launcher,
    owns: true,
    async processes({ run, workers }) {
      const places = Array.from({ length: workers }, (_, place) => place);
      await untilThere(logFolder, places);
      return Promise.all(places.map((place) => workerProcess(run, place)));
    },
    close: () => rm(logFolder, { recursive: true, force: true }),
  };
});

describeLauncher("WaitingLauncher", () => {
  const children: ReturnType<typeof spawn>[] = [];
  return Promise.resolve({
    launcher: new WaitingLauncher(() => undefined),
    owns: false,
    async processes({ workers }) {
      for (let place = 0; place < workers; place++) {
        const child = spawn(process.execPath, [program], { stdio: ["ignore", "ignore", "pipe"] });
        children.push(child);
        if (child.stderr !== null) await once(child.stderr, "data");
      }
      return children.map(({ pid }) => pid ?? 0);
    },
    close() {
      for (const child of children) child.kill("SIGKILL");
      return Promise.resolve();
    },
  });
});

it("who starts workers elsewhere is told how", async () => {
  const lines: string[] = [];
  await new WaitingLauncher((line) => lines.push(line)).launch(orderOf(3));
  assert.deepEqual(lines, ["waiting for 3 workers: start each with worker --coordinator HOST:1"]);
});

it("workers are kept on the cores of a memory node each, where there are several", async (t) => {
  const [first, second] = numbersIn(
    /^Cpus_allowed_list:\s*(\S+)$/mu.exec(await readFile("/proc/self/status", "utf8"))?.[1] ?? "",
  );
  if (first === undefined || second === undefined) {
    t.skip("this machine has one core");
    return;
  }
  const logFolder = await mkdtemp(join(tmpdir(), "launcher-"));
  const launcher = launcherInto(logFolder, [[first], [second]]);
  try {
    const order = orderOf(2);
    await launcher.launch(order);
    await untilThere(logFolder, [0, 1]);
    for (const [place, core] of [first, second].entries()) {
      const id = await workerProcess(order.run, place);
      const status = await readFile(`/proc/${id}/status`, "utf8");
      assert.match(status, new RegExp(`^Cpus_allowed_list:\\s*${core}$`, "mu"));
      assert.equal(launcher.idOf(id), `worker-${place}`);
    }
  } finally {
    await launcher.stop(1_000);
    await rm(logFolder, { recursive: true, force: true });
  }
});
