/**
 * Has embeddings looked up in the whole table where a program is given some rows of it: the rows then need not be copied first. What
 * is looked up is the same, so no bit changes.
 *
 *   Embed(Gather(table, rows), place)   becomes   Embed(table, Gather(rows, place))
 */
import { dataTypes, typeOf, type GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";
import { plainReference } from "../references.ts";

/** The kernel: three tables, then what is looked up in each. */
const kernel = "RingmasterEmbed";
const tables = 3;

function isZero(node: GraphNode | undefined): boolean {
  const value = node?.op === "Const" ? node.attributes["value"] : undefined;
  return (
    value?.kind === "tensor" && value.bytes.length > 0 && value.bytes.every((byte) => byte === 0)
  );
}

/** The recording with whole tables; gathers that nothing reads any more stay. */
export function lookUpWhole(recording: Recording): Recording {
  const byName = new Map(recording.nodes.map((node) => [node.name, node]));
  const nodes = recording.nodes.flatMap((node): readonly GraphNode[] => {
    if (node.op !== kernel) return [node];
    const inputs = [...node.inputs];
    const added: GraphNode[] = [];
    for (let table = 0; table < tables; table++) {
      const gather = byName.get(plainReference(inputs[table] ?? ""));
      const [whole, rows, axis] = gather?.inputs ?? [];
      const place = inputs[table + tables];
      const isOfRows = gather?.op === "GatherV2" && isZero(byName.get(axis ?? ""));
      if (!isOfRows || whole === undefined || rows === undefined || axis === undefined) continue;
      if (place === undefined) continue;
      const name = `${node.name}_rows${table}`;
      const attributes = { ...gather.attributes, Tparams: typeOf(dataTypes.int32) };
      added.push({ ...gather, name, inputs: [rows, place, axis], attributes });
      inputs[table] = whole;
      inputs[table + tables] = name;
    }
    return [...added, { ...node, inputs }];
  });
  return { ...recording, nodes };
}
