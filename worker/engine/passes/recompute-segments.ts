/**
 * Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): what the backward pass needs of a segment of the forward pass
 * is computed a second time when its turn comes, instead of being kept until then. Between the passes only what goes from
 * segment to segment stays in memory.
 *
 *   forward    x₀ ─ segment 0 ─ x₁ ─ segment 1 ─ x₂ ─ head ─ loss
 *   backward   dx₂ ─ again: segment 1 of x₁ ─ its gradients, dx₁ ─ again: segment 0 of x₀ ─ its gradients
 *
 * The copies are the same ops over the same inputs, random words included: the same bits. A copy must not run early, or it
 * would only double what is kept: it waits for the gradient that arrives at its segment, and for all that was computed of
 * the segment copied before it, so that one segment at a time is whole in memory.
 */
import type { GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";

/** Name of the node that a reference (`node`, `node:1`, `^node`) points to. */
function sourceOf(reference: string): string {
  return (reference.startsWith("^") ? reference.slice(1) : reference).split(":")[0] ?? reference;
}

/** One segment and the part of the backward pass that reads what it computed. */
interface Segment {
  /** Places of the nodes of the backward pass that read its inside, ascending. */
  readonly readers: number[];
  /** Names of the nodes that are copied. */
  readonly copied: Set<string>;
}

class Recomputation {
  readonly #recording: Recording;
  readonly #places: ReadonlyMap<string, number>;
  /** References that one segment gives to what is outside of it and not of the backward pass. */
  readonly #kept: ReadonlySet<string>;

  constructor(recording: Recording) {
    this.#recording = recording;
    this.#places = new Map(recording.nodes.map(({ name }, place) => [name, place]));
    const kept = new Set(Object.values(recording.outputs));
    for (const { inputs, part } of recording.nodes) {
      if (part === "backward") continue;
      for (const input of inputs) if (this.#node(input)?.part !== part) kept.add(input);
    }
    this.#kept = kept;
  }

  rewrite(): Recording {
    const segments = this.#segments();
    const copies = new Map<number, GraphNode[]>();
    let before: Segment | null = null;
    const inOrder = [...segments.values()].sort((one, two) => first(one) - first(two));
    for (const segment of inOrder) {
      copies.set(first(segment), [
        ...(copies.get(first(segment)) ?? []),
        ...this.#copiesOf(segment, this.#triggers(segment, before)),
      ]);
      before = segment;
    }
    const nodes = this.#recording.nodes.flatMap((node, place): GraphNode[] => {
      if (node.part !== "backward") return [node];
      const inputs = node.inputs.map((input) => (this.#isInside(input) ? again(input) : input));
      return [...(copies.get(place) ?? []), { ...node, inputs }];
    });
    return { ...this.#recording, nodes };
  }

  #node(reference: string): GraphNode | undefined {
    const place = this.#places.get(sourceOf(reference));
    return place === undefined ? undefined : this.#recording.nodes[place];
  }

  /** Whether a reference is to something within a segment, which is not to be kept. Constants take no memory. */
  #isInside(reference: string): boolean {
    const node = this.#node(reference);
    return typeof node?.part === "number" && node.op !== "Const" && !this.#kept.has(reference);
  }

  #segments(): ReadonlyMap<number, Segment> {
    const segments = new Map<number, Segment>();
    for (const [place, { part, inputs }] of this.#recording.nodes.entries()) {
      if (part !== "backward") continue;
      for (const input of inputs) {
        const source = this.#node(input)?.part;
        if (typeof source !== "number" || !this.#isInside(input)) continue;
        const segment = segments.get(source) ?? { readers: [], copied: new Set() };
        segments.set(source, segment);
        if (segment.readers.at(-1) !== place) segment.readers.push(place);
        this.#addWithSources(segment.copied, input, source);
      }
    }
    return segments;
  }

  /** Adds what a reference needs of its own segment. */
  #addWithSources(copied: Set<string>, reference: string, part: number): void {
    const open = [reference];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const node = this.#node(next);
      if (node?.part !== part || !this.#isInside(next) || copied.has(node.name)) continue;
      copied.add(node.name);
      open.push(...node.inputs);
    }
  }

  /** Nodes of the backward pass, before the segment's first reader, that its copies wait for. */
  #triggers(segment: Segment, before: Segment | null): readonly string[] {
    const start = first(segment);
    const gradients = segment.readers.flatMap(
      (place) => this.#recording.nodes[place]?.inputs ?? [],
    );
    const arrived = [...new Set(gradients.map(sourceOf))].filter((name) => {
      const node = this.#node(name);
      const place = this.#places.get(name) ?? start;
      return node?.part === "backward" && node.op !== "Const" && place < start;
    });
    if (arrived.length === 0) {
      throw new Error("Cannot compute a segment again as no gradient arrives at it");
    }
    const done = (before?.readers ?? []).filter((place) => place < start);
    return [
      ...new Set([...arrived, ...done.map((place) => this.#recording.nodes[place]?.name ?? "")]),
    ];
  }

  #copiesOf({ copied }: Segment, triggers: readonly string[]): GraphNode[] {
    const waiting = triggers.map((name) => `^${name}`);
    return this.#recording.nodes
      .filter(({ name }) => copied.has(name))
      .map((node) => {
        const inputs = node.inputs.map((input) =>
          copied.has(sourceOf(input)) && this.#isInside(input) ? again(input) : input,
        );
        const isFirst = inputs.every((input, index) => input === node.inputs[index]);
        return {
          ...node,
          name: again(node.name),
          part: "backward",
          inputs: isFirst ? [...inputs, ...waiting] : inputs,
        };
      });
  }
}

/** The reference to a copy, from that to what it is a copy of. */
function again(reference: string): string {
  const [node = reference, output] = reference.split(":");
  return output === undefined ? `${node}/again` : `${node}/again:${output}`;
}

/** Place of a segment's first reader. */
function first({ readers }: Segment): number {
  return readers[0] ?? Number.POSITIVE_INFINITY;
}

/** The recording with the backward pass reading copies of segments that are made when they are needed. No value changes. */
export function recomputeSegments(recording: Recording): Recording {
  return new Recomputation(recording).rewrite();
}
