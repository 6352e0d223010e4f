// Has errors of a bundle tell places in the sources. Node's own way (`--enable-source-maps`) reads every map when its
// module is loaded, a fifth of a start; this one reads a map when the first error of its module is told.
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** What is in front of the frames: as V8 has it, also for an error whose own `toString` fails. */
function headOf(error) {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return "Error";
  }
}

/**
 * Changes what `Error.stack` tells in this thread.
 * @param {string} folder of the bundle; places elsewhere are told as they are
 */
export function traceSources(folder) {
  const maps = new Map();
  const mapOf = (file) => {
    if (!maps.has(file)) maps.set(file, readMap(file));
    return maps.get(file);
  };
  Error.prepareStackTrace = (error, sites) => {
    const frames = sites.map((site) => `\n    at ${frameOf(site, folder, mapOf)}`);
    return `${headOf(error)}${frames.join("")}`;
  };
}

/** The map beside a file of the bundle; null where there is none that can be read. */
function readMap(file) {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8")));
  } catch {
    return null;
  }
}

function frameOf(site, folder, mapOf) {
  const told = String(site);
  const [url, line, column] = [site.getFileName(), site.getLineNumber(), site.getColumnNumber()];
  if (!url?.startsWith("file:") || line === null || column === null) return told;
  const file = fileURLToPath(url);
  if (!file.startsWith(folder + sep)) return told;
  const entry = mapOf(file)?.findEntry(line - 1, column - 1);
  if (entry?.originalSource === undefined) return told;
  const source = join(file, "..", entry.originalSource);
  return told.replace(
    `${url}:${line}:${column}`,
    `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`,
  );
}
