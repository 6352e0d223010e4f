import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeEnd, spawnGuarded } from "../../../coordinator/launch/guard.ts";

const guardFile = new URL("../../../coordinator/launch/guard.ts", import.meta.url).href;
const options = { env: process.env, output: "ignore", graceMs: 300 } as const;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function untilGone(pid: number): Promise<void> {
  while (isAlive(pid)) await sleep(20);
}

describe("guard", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "guard-test-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("ends with the child's own exit code", async () => {
    const child = spawnGuarded("/bin/sh", ["-c", "exit 7"], options);
    assert.deepEqual(await child.ended, { kind: "exited", code: 7 });
  });

  it("ends with the signal that killed the child", async () => {
    const child = spawnGuarded("sleep", ["1000"], options);
    process.kill(await child.childId, "SIGKILL");
    const end = await child.ended;
    assert.deepEqual(end, { kind: "killed", signal: "SIGKILL" });
    assert.equal(describeEnd(end), "killed by SIGKILL");
  });

  it("says when the command cannot be started", async () => {
    const child = spawnGuarded(join(folder, "absent"), [], options);
    assert.deepEqual(await child.ended, { kind: "exited", code: 127 });
  });

  it("passes SIGTERM on and waits for the child", async () => {
    const child = spawnGuarded(
      "/bin/sh",
      ["-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"],
      options,
    );
    await child.childId;
    await sleep(200);
    child.process.kill("SIGTERM");
    assert.deepEqual(await child.ended, { kind: "exited", code: 5 });
  });

  it("takes grandchildren along with SIGKILL, and when only the guard is killed", async () => {
    for (const kill of ["group", "guard"] as const) {
      const file = join(folder, `grandchild-${kill}`);
      const script = `sleep 1000 & echo $! > ${file}; wait`;
      const child = spawnGuarded("/bin/sh", ["-c", script], options);
      let grandchild = 0;
      while (grandchild === 0) {
        await sleep(20);
        grandchild = Number(await readFile(file, "utf8").catch(() => "0"));
      }
      if (kill === "group") child.process.kill("SIGKILL");
      else process.kill(child.process.pid ?? 0, "SIGKILL");
      await child.ended;
      await untilGone(grandchild);
      await untilGone(await child.childId);
    }
  });

  it("ends the child when its own coordinator is killed, even one that ignores SIGTERM", async () => {
    const script = join(folder, "parent.mts");
    await writeFile(
      script,
      `import { spawnGuarded } from ${JSON.stringify(guardFile)};
       const child = spawnGuarded("/bin/sh", ["-c", "trap '' TERM; while :; do sleep 0.05; done"],
         { env: process.env, output: "ignore", graceMs: 300 });
       console.log(await child.childId, child.process.pid);
       setInterval(() => {}, 1000);`,
    );
    const parent = spawn(process.execPath, ["--import", "tsx", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const [childId, guardId] = line.toString().trim().split(" ").map(Number);
    assert.ok(isAlive(childId!) && isAlive(guardId!));
    parent.kill("SIGKILL");
    await untilGone(childId!);
    await untilGone(guardId!);
  });

  it("puts the child into a process group of its own", async () => {
    const child = spawnGuarded("sleep", ["1000"], options);
    const stat = await readFile(`/proc/${await child.childId}/stat`, "utf8").catch(() => null);
    if (stat !== null) assert.equal(Number(stat.split(" ")[4]), child.process.pid);
    child.process.kill("SIGKILL");
    await child.ended;
  });
});
