/** Which cores a worker is kept on, on a machine with several memory nodes. Pure. */

/**
 * The cores of the node that a worker belongs to: workers are dealt to the nodes in equal parts, and each stays near the memory
 * that it touches first, its own. Null where it may run anywhere: one node, nodes of different sizes, or a number of workers that
 * cannot be dealt out equally, which would leave cores idle.
 */
export function coresOfWorker(
  worker: number,
  workers: number,
  nodes: readonly (readonly number[])[],
): readonly number[] | null {
  const [first] = nodes;
  if (first === undefined || nodes.length === 1 || workers % nodes.length !== 0) return null;
  if (nodes.some((cores) => cores.length !== first.length)) return null;
  return nodes[Math.floor((worker * nodes.length) / workers)] ?? null;
}
