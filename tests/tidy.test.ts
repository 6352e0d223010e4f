/** The house rules that no linter checks. Each finding prints file, line, rule and remedy. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(root, file)));
const sources = files.filter((file) => /\.(ts|mjs)$/.test(file) && !file.startsWith("proto/gen/"));
const product = sources.filter((file) => !file.startsWith("tests/"));
const textOf = new Map(sources.map((file) => [file, readFileSync(join(root, file), "utf8")]));

function linesOf(file: string): readonly string[] {
  return (textOf.get(file) ?? "").split("\n");
}

function findLines(
  among: readonly string[],
  pattern: RegExp,
  rule: string,
  exempt: RegExp = /^$/,
): string[] {
  return among
    .filter((file) => !exempt.test(file))
    .flatMap((file) =>
      linesOf(file).flatMap((line, index) =>
        pattern.test(line) ? [`${file}:${index + 1}: ${rule}: ${line.trim()}`] : [],
      ),
    );
}

function none(findings: readonly string[]): void {
  assert.deepEqual(findings, [], `\n${findings.join("\n")}\n`);
}

function importsOf(file: string): readonly string[] {
  return [...(textOf.get(file) ?? "").matchAll(/(?:from|import\(|import)\s*"(\.[^"]+)"/g)].map(
    (match) => normalize(join(dirname(file), match[1] ?? "")),
  );
}

/** Files that may read time, randomness and environment: where the world enters. */
const entries = /(^|\/)(main|options|bin|.*-main|.*-thread-main)\.(ts|mjs)$|^tests\//;

describe("house rules", () => {
  it("no module is longer than 300 lines", () => {
    none(
      sources
        .filter((file) => linesOf(file).length > 301)
        .map((file) => `${file}: cut it by ideas`),
    );
  });

  it("nothing is left unfinished", () => {
    none(
      findLines(
        sources,
        /\b(TODO|FIXME|XXX|HACK)\b|not implemented|unimplemented/i,
        "finish it",
        /^tests\/tidy/,
      ),
    );
  });

  it("types are not escaped from", () => {
    none(
      findLines(
        product,
        /:\s*any\b|\bas any\b|as unknown as|@ts-(ignore|expect-error|nocheck)|(ox|es)lint-disable/,
        "parse it instead",
      ),
    );
  });

  it("time, randomness and environment are arguments", () => {
    none(
      findLines(
        product,
        /\bMath\.random\(|\bDate\.now\(|\bprocess\.env\b/,
        "take it as an argument",
        entries,
      ),
    );
  });

  it("tests are neither focused nor put off", () => {
    none(
      findLines(
        sources,
        /\b(it|test|describe)\.(only|todo)\b|skip:\s*true/,
        "run it",
        /^tests\/tidy/,
      ),
    );
  });

  it("files are named for what they hold", () => {
    none(files.filter((file) => /(^|\/)(utils?|helpers?|common|misc|index)\.ts$/.test(file)));
  });

  it("every module opens with its part in the whole", () => {
    none(
      product
        .filter((file) => !/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(textOf.get(file) ?? ""))
        .map((file) => `${file}:1: open with a comment`),
    );
  });

  it("every exported symbol says what it promises", () => {
    const undocumented = product
      .filter((file) => file.endsWith(".ts"))
      .flatMap((file) => {
        const lines = linesOf(file);
        return lines.flatMap((line, index) => {
          const exported =
            /^export (abstract class|class|function|async function|const|interface|type) /.test(
              line,
            );
          const before = (lines[index - 1] ?? "").trim();
          return exported && !before.endsWith("*/") ? [`${file}:${index + 1}: ${line.trim()}`] : [];
        });
      });
    none(undocumented);
  });

  it("imports flow one way", () => {
    const allowed: Readonly<Record<string, RegExp>> = {
      proto: /^proto\//,
      foundation: /^(proto|foundation)\//,
      coordinator: /^(proto|foundation|coordinator)\//,
      worker: /^(proto|foundation|worker)\//,
    };
    none(
      product.flatMap((file) => {
        const rule = allowed[file.split("/")[0] ?? ""];
        if (rule === undefined) return [];
        return importsOf(file)
          .filter((imported) => !rule.test(imported))
          .map((imported) => `${file}: must not import ${imported}`);
      }),
    );
  });

  it("no module is dead", () => {
    const imported = new Set(sources.flatMap(importsOf));
    const named =
      sources.map((file) => textOf.get(file) ?? "").join("\n") +
      readFileSync(join(root, "package.json"), "utf8");
    none(
      product.filter((file) => {
        const name = file.split("/").at(-1) ?? file;
        const ambient = file.endsWith(".d.ts");
        return !ambient && !imported.has(file) && !named.includes(`/${name}`);
      }),
    );
  });

  it("the coordinator loads no TensorFlow", () => {
    none(
      findLines(
        product.filter((file) => !file.startsWith("worker/")),
        /from "@tensorflow\//,
        "workers compute",
      ),
    );
  });

  it("no data, weights or binaries are in the repository", () => {
    none(files.filter((file) => statSync(join(root, file)).size > 400_000));
  });

  it("nothing names a machine", () => {
    const texts = files.filter(
      (file) => /\.(ts|mjs|md|ya?ml|json|py|sh)$/.test(file) && file !== "package-lock.json",
    );
    none(
      texts.filter((file) => {
        const text = readFileSync(join(root, file), "utf8");
        return text.includes(`${dirname(root)}/`) && dirname(root) !== "/";
      }),
    );
  });
});
