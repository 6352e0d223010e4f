/** Programs that read a section of the state out as one vector, at once or beside what is computed next, and that set it from one. */
import { dataTypes, GraphScope, type GraphNode } from "./graph-node.ts";
import { graphNames, sections, type Section } from "./graph-names.ts";
import type { GraphVariables } from "./graph-variables.ts";
import { alignedLength } from "./shared-vector.ts";
import { placeFlat, writeFlat } from "./write-flat.ts";

/** Adds the program that copies a section of shared-out moments: they are fed. */
export function addShareCopy(nodes: GraphNode[], section: Section): void {
  const from = new GraphScope(nodes, "").vector(graphNames.copyFrom(section));
  addCopy(nodes, section, { values: [from], fed: true });
}

function addCopy(
  nodes: GraphNode[],
  section: Section,
  { values, fed }: { readonly values: readonly string[]; readonly fed: boolean },
): void {
  const scope = new GraphScope(nodes, `${graphNames.copy(section)}/`);
  const memory = [
    scope.vector("into"),
    scope.placeholder("marks", dataTypes.int32, [alignedLength(sections.length)]),
    scope.placeholder("ticket", dataTypes.int32, []),
  ];
  const copying = scope.add("RingmasterCopyBeside", [...memory, ...values], {
    count: { kind: "int", int: values.length },
    part: { kind: "int", int: sections.indexOf(section) },
    fed: { kind: "bool", bool: fed },
  });
  scope.after([copying], "copying");
}

/**
 * Adds the programs of a section; none where nothing is in it.
 * @param sparse names of tensors whose moments are zeros for the most part, in memory that is not taken before it is written to
 */
export function addStatePrograms(
  nodes: GraphNode[],
  variables: GraphVariables,
  section: Section,
  sparse: ReadonlySet<string>,
): void {
  const members = variables.section(section);
  if (members.length === 0) return;
  const reading = new GraphScope(nodes, `${graphNames.read(section)}/`);
  const sizes = members.map(({ entry }) => entry.size);
  const memory = placeFlat(reading, sizes);
  const values = members.map(({ handle }) => variables.read(reading, handle));
  writeFlat(
    reading,
    memory,
    values.map((value, part) => ({ value, part })),
  );
  addCopy(nodes, section, { values, fed: false });

  const assigning = new GraphScope(nodes, `assign/${section}/`);
  const length = alignedLength(sizes.reduce((sum, size) => sum + size, 0));
  const whole = assigning.placeholder("values", dataTypes.float32, [length]);
  let offset = 0;
  const done = members.map(({ entry, handle }) => {
    const piece = assigning.slice(whole, offset, entry.size);
    offset += entry.size;
    // A variable takes over the memory of what is assigned, and a slice may be a view of the caller's.
    const value = assigning.reshape(piece, entry.shape);
    const own =
      section !== "parameters" && sparse.has(entry.name)
        ? assigning.add("RingmasterSparseCopy", [value], {})
        : assigning.float("DeepCopy", value);
    return variables.assign(assigning, handle, own);
  });
  assigning.after(done, "done");
}
