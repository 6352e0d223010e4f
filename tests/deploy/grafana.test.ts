/** The dashboard against the contract of metric names, its alerts against promtool. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { metrics, type MetricDefinition } from "../../proto/metric-names.ts";
import { skipWithout, works } from "../support/needed-tool.ts";
import { readDashboard } from "../support/prometheus.ts";

const deploy = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "deploy");
const dashboard = await readDashboard(join(deploy, "grafana/dashboards/ringmaster.json"));
const definitions: readonly MetricDefinition[] = Object.values(metrics);
const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
const alerts = await readFile(join(deploy, "prometheus/alerts.yml"), "utf8");

/** The metric that a name in a query belongs to: histograms show as `_bucket`, `_sum` and `_count`. */
function definitionOf(name: string): MetricDefinition | undefined {
  return definitions.find((definition) =>
    definition.kind === "histogram"
      ? ["_bucket", "_sum", "_count"].some((suffix) => name === definition.name + suffix)
      : name === definition.name,
  );
}

function namesIn(expression: string): readonly string[] {
  return expression.match(/\bringmaster_[a-z_]+/g) ?? [];
}

describe("dashboard", () => {
  it("asks for metrics of the contract only, with labels that they have", () => {
    for (const expression of [...expressions, alerts]) {
      for (const name of namesIn(expression)) assert.ok(definitionOf(name), name);
      for (const [, name, labels] of expression.matchAll(/\b(ringmaster_\w+)\{([^}]*)\}/g)) {
        const known = ["run", ...(definitionOf(name ?? "")?.labels ?? [])];
        for (const [, label] of (labels ?? "").matchAll(/(\w+)=~?"/g)) {
          assert.ok(known.includes(label ?? ""), `${name} has no label ${label}`);
        }
      }
    }
  });

  it("shows every metric of the contract", () => {
    const shown = new Set(expressions.flatMap(namesIn).map((name) => definitionOf(name)?.name));
    const missing = definitions.filter(({ name }) => !shown.has(name)).map(({ name }) => name);
    assert.deepEqual(missing, []);
  });

  it("asks for one run, and names what it shows", () => {
    const variables = dashboard.templating.list.map(({ name }) => name);
    for (const { title, targets } of dashboard.panels) {
      for (const { expr, legendFormat } of targets) {
        assert.ok(expr.includes(`run="$run"`) || expr.includes("up{"), `${title}: ${expr}`);
        assert.notEqual(legendFormat, "", title);
        const used = [...expr.matchAll(/\$(\w+)/g)].map(([, name]) => name ?? "");
        for (const name of used) {
          assert.ok(name === "__rate_interval" || variables.includes(name), `${title}: ${name}`);
        }
      }
    }
  });

  it("has its metrics explained in docs/metrics.md", async () => {
    const docs = await readFile(join(dirname(deploy), "docs/metrics.md"), "utf8");
    for (const { name, kind, labels, help, worker } of definitions) {
      const cells = labels.map((label) => `\`${label}\``).join(" ");
      const page = worker === true ? "both" : "coordinator";
      const row = `| \`${name}\` | ${kind} | ${cells} | ${page} | ${help} |`;
      assert.ok(docs.includes(row), row);
    }
  });

  it("lays its panels out without overlap", () => {
    const taken = new Map<string, string>();
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    for (const { title, gridPos } of dashboard.panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          assert.equal(taken.get(`${x},${y}`), undefined, title);
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });

  it("is provisioned from where the files are", async () => {
    for (const file of ["datasources/prometheus.yaml", "dashboards/ringmaster.yaml"]) {
      const text = await readFile(join(deploy, "grafana/provisioning", file), "utf8");
      assert.equal((parse(text) as { apiVersion: number }).apiVersion, 1);
    }
  });
});

describe("prometheus", { skip: skipWithout(works("promtool", ["--version"]), "promtool") }, () => {
  for (const args of [
    ["check", "config", "prometheus.yml"],
    ["test", "rules", "alerts.test.yml"],
  ]) {
    it(`promtool ${args.join(" ")}`, () => {
      const ran = spawnSync("promtool", args, {
        cwd: join(deploy, "prometheus"),
        encoding: "utf8",
      });
      assert.equal(ran.status, 0, ran.stdout + ran.stderr);
    });
  }

  it("every alert is tested", async () => {
    const tests = await readFile(join(deploy, "prometheus/alerts.test.yml"), "utf8");
    for (const [, name] of alerts.matchAll(/- alert: (\w+)/g)) {
      assert.ok(tests.includes(`alertname: ${name}`), name);
    }
  });
});
