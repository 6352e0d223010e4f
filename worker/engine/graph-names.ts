/** Names of the nodes that are fed and fetched: functions, so that those who write and who run the graph agree. */

/** Sections of a state: variables of the model, and the two moments of what trains. */
export const sections = ["parameters", "firstMoment", "secondMoment"] as const;
/** One of the sections. */
export type Section = (typeof sections)[number];

/** Scalars that an update is fed. */
export const updateScalarNames = [
  "learningRate",
  "epsilon",
  "scale",
  "decay",
  "bufferScale",
] as const;

/** A name that TensorFlow accepts. */
export function safeName(text: string): string {
  return text.replace(/[^A-Za-z0-9_./-]/g, "_");
}

/** The names. */
export const graphNames = {
  /** Scope of a recorded program. */
  scope: (program: string): string => `${safeName(program)}/`,
  /** Place of a recorded program's input. */
  input: (program: string, input: string): string => `${safeName(program)}/in/${safeName(input)}`,
  /** An output by itself. */
  output: (program: string, output: string): string =>
    `${safeName(program)}/out/${safeName(output)}`,
  /** All outputs of a sum phase as one vector. */
  flat: (program: string): string => `${safeName(program)}/flat`,
  /** The memory that a program writes its vector into, and what is fetched to make it write. */
  into: (program: string): string => `${safeName(program)}/into`,
  written: (program: string): string => `${safeName(program)}/written`,
  /** Where it marks what is written, and with what. */
  marks: (program: string): string => `${safeName(program)}/marks`,
  ticket: (program: string): string => `${safeName(program)}/ticket`,
  /** Programs that read a section of the state out, and those that set it. */
  read: (section: Section): string => `read/${section}`,
  /** Programs that copy a section beside what is computed next; what is fetched to begin, and what is fed where moments are shared out. */
  copy: (section: Section): string => `copy/${section}`,
  copying: (scope: string): string => `${scope}/copying`,
  copyFrom: (section: Section): string => `copy/${section}/from`,
  assignValues: (section: Section): string => `assign/${section}/values`,
  assigned: (section: Section): string => `assign/${section}/done`,
  /** The reduced vector, for the update. */
  reduced: "reduced",
  /** 1 where no state was loaded since the last update, else 0. */
  settled: "update/settled",
  updateScalar: (name: string): string => `update/${name}`,
  /** Of shared-out moments: what is fed and fetched for the own share; `updated` then takes all shares' weights. */
  shareMoments: (section: Exclude<Section, "parameters">): string => `update/${section}`,
  share: "update/share",
  shareUpdated: "update/shareDone",
  updated: "update/done",
};
