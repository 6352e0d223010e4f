/** How many workers a prediction or evaluation gets where nobody has said so. Pure. */

/** What decides. */
export interface WorkerNeeds {
  /** Tokens to be computed, about; null where that is not known, or few texts were given. */
  readonly tokens: number | null;
  /** Bytes of the model's weights. */
  readonly weightBytes: number;
  /** Processor cores that may be used. */
  readonly cores: number;
  /** Bytes of memory that are free. */
  readonly freeBytes: number;
}

/**
 * Weights times tokens that pay for a worker's start: some seconds of one core. A worker takes another second of one to load
 * TensorFlow and the weights.
 */
const workOfWorker = 0.5e12;
/** The coordinator feeds all of them from one thread. */
const workersMax = 8;
/** Bytes of a worker beside its weights: TensorFlow, what is computed, JavaScript. */
const workerBytes = 600e6;
/** Copies of the weights that a worker holds at the most: as received, and as TensorFlow's variables. */
const weightCopies = 2;

/**
 * One of each core, which wait for nobody: threads of one worker wait for each other in every product. Fewer where the work is
 * soon done, or where their weights would take more than half of what memory is free.
 */
export function workersFor({ tokens, weightBytes, cores, freeBytes }: WorkerNeeds): number {
  const weights = weightBytes / Float32Array.BYTES_PER_ELEMENT;
  const paying = Math.floor(((tokens ?? 0) * weights) / workOfWorker);
  const fitting = Math.floor(freeBytes / 2 / (workerBytes + weightCopies * weightBytes));
  return Math.max(1, Math.min(cores, workersMax, paying, fitting));
}
