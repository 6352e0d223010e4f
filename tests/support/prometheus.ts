/** A real Prometheus for tests: scrapes given pages every second, answers queries over its HTTP API. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

/** One series of a query's answer. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A running Prometheus. */
export interface Prometheus {
  /** Evaluates a query now. Throws when Prometheus refuses it. */
  query(expression: string): Promise<readonly Series[]>;
  stop(): Promise<void>;
}

const answerSchema = z.object({
  status: z.string(),
  error: z.string().optional(),
  data: z
    .object({
      result: z.array(
        z.object({
          metric: z.record(z.string(), z.string()),
          value: z.tuple([z.number(), z.string()]),
        }),
      ),
    })
    .optional(),
});

/** A port of 127.0.0.1 that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  server.close();
  await once(server, "close");
  return address.port;
}

/** Starts Prometheus; `jobs` names its jobs and their targets (host:port). */
export async function startPrometheus(
  jobs: Readonly<Record<string, readonly string[]>>,
): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), "ringmaster-prometheus-"));
  const config = {
    global: { scrape_interval: "1s" },
    scrape_configs: Object.entries(jobs).map(([job, targets]) => ({
      job_name: job,
      static_configs: [{ targets }],
    })),
  };
  await writeFile(join(folder, "prometheus.yml"), JSON.stringify(config));
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const child = spawn(
    "prometheus",
    [
      `--config.file=${join(folder, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let log = "";
  child.stderr.on("data", (data: Buffer) => (log += data.toString()));
  const exited = once(child, "exit");
  const isReady = async (): Promise<boolean> =>
    (await fetch(`${base}/-/ready`).catch(() => null))?.ok ?? false;
  while (!(await isReady())) {
    assert.equal(child.exitCode, null, log);
    await sleep(50);
  }
  return {
    async query(expression) {
      const body = new URLSearchParams({ query: expression });
      const response = await fetch(`${base}/api/v1/query`, { method: "POST", body });
      const answer = answerSchema.parse(await response.json());
      assert.equal(answer.status, "success", `${expression}: ${answer.error}`);
      return (answer.data?.result ?? []).map(({ metric, value }) => ({
        labels: metric,
        value: Number(value[1]),
      }));
    },
    async stop() {
      child.kill("SIGKILL");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const dashboardSchema = z.object({
  panels: z.array(
    z.object({
      id: z.number(),
      title: z.string(),
      type: z.string(),
      gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
      targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).default([]),
    }),
  ),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.string() })) }),
});

/** A dashboard, as far as tests look at it. */
export type Dashboard = z.infer<typeof dashboardSchema>;

/** Reads a dashboard file. */
export async function readDashboard(file: string): Promise<Dashboard> {
  return dashboardSchema.parse(JSON.parse(await readFile(file, "utf8")));
}
