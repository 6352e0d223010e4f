/** Types, lint, format and generated code, so that the one test command covers them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function run(command: string, args: readonly string[], cwd = root): void {
  const ran = spawnSync(join(root, "node_modules/.bin", command), args, { cwd, encoding: "utf8" });
  assert.equal(ran.status, 0, `${command} ${args.join(" ")}\n${ran.stdout}${ran.stderr}`);
}

describe("checks", () => {
  it("types hold", () => run("tsc", []));
  it("lint is silent", () => run("oxlint", ["--type-aware", "--deny-warnings"]));
  it("format is kept", () => run("oxfmt", ["--check", "."]));
  it("the protocol keeps buf's rules", () => run("buf", ["lint", "proto"]));
  it("generated code is what the protocol generates", () => {
    const folder = mkdtempSync(join(tmpdir(), "ringmaster-generate-"));
    try {
      cpSync(join(root, "proto"), join(folder, "proto"), { recursive: true });
      rmSync(join(folder, "proto/gen"), { recursive: true });
      const path = `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`;
      const ran = spawnSync("buf", ["generate", "proto", "--template", "proto/buf.gen.yaml"], {
        cwd: folder,
        env: { ...process.env, PATH: path },
        encoding: "utf8",
      });
      assert.equal(ran.status, 0, ran.stderr);
      const generated = readdirSync(join(folder, "proto/gen/ringmaster/v1")).sort();
      assert.deepEqual(generated, readdirSync(join(root, "proto/gen/ringmaster/v1")).sort());
      for (const name of generated) {
        const file = join("proto/gen/ringmaster/v1", name);
        assert.equal(
          readFileSync(join(folder, file), "utf8"),
          readFileSync(join(root, file), "utf8"),
          file,
        );
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
