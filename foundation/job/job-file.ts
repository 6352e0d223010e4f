/** Reads a job file, YAML or JSON, into names, raw values and lines. What the names mean is decided elsewhere. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document } from "yaml";
import { BadInput } from "../bad-input.ts";

/** One key of a job file. */
export interface JobFileEntry {
  /** The key as written. */
  readonly name: string;
  /** Text of a scalar, texts of a list, a mapping's plain values; null for "not given". */
  readonly raw: unknown;
  /** Line of the key, from 1. */
  readonly line: number;
}

const nodesMax = 10_000;
const charactersMax = 1_048_576;

function parsed(text: string, file: string, lines: LineCounter): Document {
  if (text.length > charactersMax) {
    throw new BadInput({
      file,
      expected: "a job file of at most 1 MiB",
      found: `${text.length} characters`,
    });
  }
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const error = document.errors[0];
    if (error === undefined) return document;
    throw new BadInput({
      file,
      line: lines.linePos(error.pos[0]).line,
      expected: "valid YAML or JSON",
      found: error.message.split("\n")[0] ?? "",
    });
  } catch (error) {
    if (error instanceof RangeError) {
      throw new BadInput({ file, expected: "a flat mapping", found: "values nested too deep" });
    }
    throw error;
  }
}

function plainValue(node: unknown, count: { nodes: number }): unknown {
  count.nodes += 1;
  if (count.nodes > nodesMax || isAlias(node)) throw new RangeError("too many nodes, or an alias");
  if (isSeq(node)) return node.items.map((item) => plainValue(item, count));
  if (isMap(node)) {
    return Object.fromEntries(
      node.items.map((pair) => [
        isScalar(pair.key) ? String(pair.key.value) : "",
        plainValue(pair.value, count),
      ]),
    );
  }
  return isScalar(node) ? node.value : null;
}

function rawValue(node: unknown, count: { nodes: number }): unknown {
  if (isScalar(node)) {
    if (node.value === null || typeof node.value === "string") return node.value;
    return node.source ?? JSON.stringify(node.value);
  }
  if (isSeq(node)) return node.items.map((item) => rawValue(item, count));
  return plainValue(node, count);
}

/** The entries of a job file in their order. Throws BadInput with file and line. */
export function readJobFile(text: string, file: string): JobFileEntry[] {
  const lines = new LineCounter();
  const root = parsed(text, file, lines).contents;
  if (!isMap(root)) {
    const found = root === null ? "an empty file" : "something else";
    throw new BadInput({ file, expected: "keys and values such as `learning-rate: 5e-5`", found });
  }
  const count = { nodes: 0 };
  return root.items.map((pair): JobFileEntry => {
    const key = pair.key;
    const start = isScalar(key) ? (key.range?.[0] ?? 0) : 0;
    const line = Math.max(1, lines.linePos(start).line);
    if (!isScalar(key))
      throw new BadInput({ file, line, expected: "a plain key", found: "a list or mapping" });
    try {
      return { name: String(key.value), raw: rawValue(pair.value, count), line };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new BadInput({ file, line, expected: "plain values", found: error.message });
    }
  });
}
