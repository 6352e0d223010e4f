/** How many threads each worker's TensorFlow gets. Pure. */

/** Threads where their number decides bits: a part of the job then, whatever the machine and the number of workers. */
const threadsOfJob = 4;

/** What decides. */
export interface ThreadNeeds {
  /** The user's own number, or null. */
  readonly wanted: number | null;
  /** Cores of this machine. */
  readonly cores: number;
  /** Workers that share this machine; 0 when they run elsewhere. */
  readonly workersHere: number;
  /** Whether another number gives other bits (`ModelFamily.threadsMatter`). */
  readonly threadsMatter: boolean;
}

/** The cores shared out, at least one each; null leaves it to each worker's TensorFlow. */
export function threadsOf(needs: ThreadNeeds): number | null {
  const { wanted, cores, workersHere, threadsMatter } = needs;
  if (wanted !== null) return wanted;
  if (threadsMatter) return threadsOfJob;
  if (workersHere === 0) return null;
  return Math.max(1, Math.floor(cores / workersHere));
}
