/** Commands to a run that goes on: by the program and by a NATS client, at the step that they name, once; replayed later. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect, Events, type NatsConnection } from "nats";
import { answerSchema, type CommandAnswer } from "../../coordinator/nats/command.ts";
import { readControlAddress } from "../../coordinator/nats/control-address.ts";
import { readJournal } from "../../coordinator/run/journal.ts";
import { connectionOptionsOf, parseNatsAddress } from "../../foundation/nats/nats-address.ts";
import { nothingLeft, portsOf } from "../support/leftovers.ts";
import { hashOf, lossesOf, startRun } from "../support/story-run.ts";
import type { StoryRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

describe("a run that is steered", () => {
  let folder: string;
  let output: string;
  let elsewhere: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "steered-"));
    output = join(folder, `${folder.slice(-6)}-steered`);
    elsewhere = join(folder, `${folder.slice(-6)}-replayed`);
    await writeFile(join(folder, "job.yaml"), await writeTinyJob(folder));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Steps that the first run came to, by what was asked there. */
  const steps = { checkpoint: 0, rate: 0, stop: 0 };

  it("pauses, saves, evaluates, changes its rate and stops at the steps that it answers", async () => {
    const job = join(folder, "job.yaml");
    const run = startRun(
      ["train", job, "--workers", "2", "--output-dir", output].concat("--logging-steps", "1"),
    );
    await run.until("step 5/");
    const { url, run: name } = await readControlAddress(output);
    const client = await connect(connectionOptionsOf(parseNatsAddress(url)));
    try {
      const ask = (verb: string, body = ""): Promise<CommandAnswer> =>
        request(client, `ringmaster.${name}.command.${verb}`, body);
      steps.checkpoint = stepOf(await ask("pause"));
      await run.until(`paused before step ${steps.checkpoint}`);
      assert.equal(await control(output, "checkpoint"), steps.checkpoint);
      await run.until(`checkpoint-${steps.checkpoint - 1}\n`);
      await ask("resume");
      await run.until(`step ${steps.checkpoint + 5}/`);

      // Training goes on without NATS, and takes commands again once it is back.
      const reconnected = untilReconnected(client);
      process.kill(Number(await readFile(join(output, "nats", "nats.pid"), "utf8")), "SIGKILL");
      await run.until(/NATS at .* is back/u);

      steps.rate = await control(output, "pause");
      await run.until(`paused before step ${steps.rate}`);
      assert.equal(await control(output, "set-learning-rate", "0.002"), steps.rate);
      // A client of NATS forgets what it is given before that.
      await reconnected;
      assert.equal(stepOf(await ask("evaluate")), steps.rate);
      await run.until(`validation after step ${steps.rate - 1} `);
      const refused = await ask("pause", '{"value": 1}');
      assert.ok(!refused.accepted && /expected none/u.test(refused.reason));
      assert.equal(await control(output, "resume"), steps.rate);
      await run.until(`step ${steps.rate + 5}/`);
      steps.stop = stepOf(await ask("stop"));
    } finally {
      await client.close();
    }
    assert.equal(await run.ended, 0, run.text());
    assert.match(run.text(), new RegExp(`stopped after step ${steps.stop - 1}: `, "u"));
    await recorded(run);
  });

  /** Journal, events and the workers' logs say the same of every command. */
  async function recorded(run: StoryRun): Promise<void> {
    const losses = await lossesOf(output);
    assert.deepEqual([...losses.keys()], upTo(steps.stop - 1), run.text());
    const records = await readJournal(join(output, "journal.jsonl"));
    const commands = records.flatMap((record) => (record.kind === "command" ? [record] : []));
    assert.deepEqual(
      commands.map(({ verb, step, value }) => [verb, step, value]),
      [
        ["set-learning-rate", steps.rate, 0.002],
        ["stop", steps.stop, null],
      ],
    );
    const events = await readFile(join(output, "events.jsonl"), "utf8");
    assert.equal(events.split('"ringmaster.v1.CommandAccepted"').length - 1, 8);
    for (const worker of ["worker-0", "worker-1"]) {
      const log = await readFile(join(output, "logs", `${worker}.log`), "utf8");
      const lines = log.split("\n").filter((line) => line.includes('"command '));
      const met = lines.filter((line) => line.includes("command in effect"));
      // `stop` is heard; the step that it names never comes. Some of the others come with their step before NATS has them.
      assert.equal(lines.filter((line) => line.includes("command heard")).length, 8, log);
      assert.equal(new Set(met.map((line) => /"id":"([^"]+)"/u.exec(line)?.[1])).size, 7, log);
      assert.equal(met.length, 7, log);
      assert.ok(met.every((line) => !line.includes('"stop"')));
      const rate = met.filter((line) => line.includes('"set-learning-rate"'));
      assert.ok(rate.length === 1 && rate[0]?.includes(`"step":${steps.rate},"value":0.002`), log);
    }
  }

  it("ends with the same weights when it is resumed from before the commands", async () => {
    const checkpoint = join(output, `checkpoint-${steps.checkpoint - 1}`);
    const run = startRun(
      ["--resume-from-checkpoint", checkpoint, "--output-dir", elsewhere].concat("--workers", "1"),
    );
    assert.equal(await run.ended, 0, run.text());
    const original = await lossesOf(output);
    const since = [...original].filter(([step]) => step >= steps.checkpoint);
    assert.deepEqual(await lossesOf(elsewhere), new Map(since));
    const [first, second] = [output, elsewhere].map((name) => join(name, "model.safetensors"));
    assert.equal(await hashOf(second ?? ""), await hashOf(first ?? ""));
  });

  it("goes on in the same folder from its last checkpoint, and SIGTERM ends it as Ctrl-C does", async () => {
    const last = ["--resume-from-checkpoint", "last", "--output-dir", output];
    const run = startRun([...last, "--workers", "3"]);
    await run.until(`step ${steps.stop + 5}/`);
    const ports = await portsOf(output);
    const second = startRun([...last, "--workers", "1"]);
    assert.equal(await second.ended, 2);
    assert.match(second.text(), /--output-dir.*a folder that no run is writing to/u);
    run.child.kill("SIGTERM");
    assert.equal(await run.ended, 130, run.text());
    await nothingLeft(output, ports);

    const records = await readJournal(join(output, "journal.jsonl"));
    const starts = records.flatMap((record) => (record.kind === "run" ? [record] : []));
    assert.deepEqual(
      starts.map(({ fromStep, workers }) => [fromStep, workers]),
      [
        [0, 2],
        [steps.stop - 1, 3],
      ],
    );
    const all = records.flatMap((record) => (record.kind === "step" ? [record] : []));
    assert.deepEqual(
      all.map(({ step }) => step),
      upTo(all.length),
    );
    const rate = (step: number): number => all[step - 1]?.learningRate ?? 0;
    assert.ok(
      Math.abs(rate(steps.stop) / rate(steps.stop - 1) - 1) < 1e-3,
      "the rate that was set",
    );
    const events = (await readFile(join(output, "events.jsonl"), "utf8")).trimEnd().split("\n");
    const sequences = events.map((line) =>
      Number((JSON.parse(line) as { sequence: string }).sequence),
    );
    assert.deepEqual(sequences, upTo(events.length));
    const saved = join(output, `checkpoint-${all.length}`, "trainer_state.json");
    const state = JSON.parse(await readFile(saved, "utf8")) as {
      log_history: { step: number; loss?: number }[];
    };
    const logged = state.log_history.filter(({ loss }) => loss !== undefined);
    assert.deepEqual(
      logged.map(({ step }) => step),
      upTo(all.length),
    );
  });
});

function upTo(last: number): readonly number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

/** Resolves when a client that has lost its server has found it again. */
async function untilReconnected(client: NatsConnection): Promise<void> {
  for await (const { type } of client.status()) if (type === Events.Reconnect) return;
  throw new Error("the client was closed");
}

async function request(
  client: NatsConnection,
  subject: string,
  body: string,
): Promise<CommandAnswer> {
  const reply = await client.request(subject, body, { timeout: 60_000 });
  return answerSchema.parse(JSON.parse(reply.string()));
}

function stepOf(answer: CommandAnswer): number {
  if (!answer.accepted) assert.fail(answer.reason);
  return answer.step;
}

/** `coordinator control`; gives the step that it names. */
async function control(output: string, ...words: readonly string[]): Promise<number> {
  const asking = startRun(["control", ...words, "--output-dir", output]);
  assert.equal(await asking.ended, 0, asking.text());
  return Number(/accepted, from step (\d+)/u.exec(asking.text())?.[1]);
}
