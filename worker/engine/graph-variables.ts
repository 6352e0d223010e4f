/** The variables that all programs of a graph share: the model's tensors and, for what trains, AdamW's two moments. */
import type { ParameterTable, TableEntry } from "../../foundation/parameters/table.ts";
import { dataTypes, GraphScope, typeOf, type GraphNode } from "./graph-node.ts";
import type { Section } from "./graph-names.ts";

const float = { dtype: typeOf(dataTypes.float32) } as const;

/** A tensor of the table with its handle in the graph. */
export interface SectionEntry {
  readonly entry: TableEntry;
  readonly handle: string;
}

const handlePattern = /^variables\/parameters\/(?<index>\d+)$/u;

/** Name of the tensor that a node is the handle of, or null. */
export function parameterOf(node: string, table: ParameterTable): string | null {
  const index = handlePattern.exec(node)?.groups?.["index"];
  return index === undefined ? null : (table.entries[Number(index)]?.name ?? null);
}

/** The variables of one graph. Making it adds their handles. */
export class GraphVariables {
  readonly #table: ParameterTable;
  readonly #indexOf: ReadonlyMap<string, number>;

  constructor(nodes: GraphNode[], table: ParameterTable, withMoments: boolean) {
    this.#table = table;
    this.#indexOf = new Map(table.entries.map((entry, index) => [entry.name, index]));
    const scope = new GraphScope(nodes, "");
    const add = (section: Section, entry: TableEntry): void => {
      const name = this.handle(section, entry);
      const shape = { kind: "shape", shape: entry.shape } as const;
      const sharedName = { kind: "string", string: name } as const;
      const container = { kind: "string", string: "" } as const;
      scope.add("VarHandleOp", [], { ...float, shape, shared_name: sharedName, container }, name);
    };
    for (const entry of table.entries) {
      add("parameters", entry);
      if (!withMoments || entry.trainableOffset === null) continue;
      add("firstMoment", entry);
      add("secondMoment", entry);
    }
  }

  /** Name of a variable's handle. */
  handle(section: Section, entry: TableEntry): string {
    return `variables/${section}/${this.#indexOf.get(entry.name)}`;
  }

  /** The tensors of a section, in table order. */
  section(section: Section): readonly SectionEntry[] {
    return this.#table.entries
      .filter((entry) => section === "parameters" || entry.trainableOffset !== null)
      .map((entry) => ({ entry, handle: this.handle(section, entry) }));
  }

  /** Adds a read of a variable. */
  read(scope: GraphScope, handle: string): string {
    return scope.add("ReadVariableOp", [handle], float);
  }

  /** Adds an assignment. The value's memory becomes the variable's: it must be nobody else's. */
  assign(scope: GraphScope, handle: string, value: string): string {
    return scope.add("AssignVariableOp", [handle, value], float);
  }
}
