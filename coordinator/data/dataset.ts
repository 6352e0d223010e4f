/** What the rest of the coordinator sees of data: records by index, read when they are needed. */

/** One sample before tokenising. A labelled sample has exactly one of label, target and targets. */
export interface DataRecord {
  /** Index in its dataset, from 0; stable over epochs and worker counts. */
  readonly index: number;
  readonly text: string;
  readonly textPair?: string;
  /** Class as the label map numbers it. */
  readonly label?: number;
  /** Value to regress to. */
  readonly target?: number;
  /** One target per label (multi-label classification). */
  readonly targets?: readonly number[];
}

/** Records with random access. The bytes stay on disk; in memory is an index of about two bytes a record. */
export interface Dataset {
  readonly size: number;
  /** Whether records carry labels. */
  readonly labelled: boolean;
  /** About how many tokens text and pair of the record will be (`estimateLength`, to within 5 %); never reads the file. */
  lengthOf(index: number): number;
  /**
   * The records in the order asked for. Rejects with the signal's reason, with RangeError for an index out of range,
   * and with an Error when a file has changed since it was opened.
   */
  read(indices: readonly number[], signal: AbortSignal): Promise<readonly DataRecord[]>;
  /** Closes the files. */
  close(): Promise<void>;
}

/** Records that are looked at for a guess; more cost time and tell no more. */
const guessedRecords = 100_000;

/** About how many tokens all records are, from the first ones. */
export function guessTokens(dataset: Pick<Dataset, "size" | "lengthOf">): number {
  const { size } = dataset;
  const seen = Math.min(size, guessedRecords);
  let tokens = 0;
  for (let index = 0; index < seen; index++) tokens += dataset.lengthOf(index);
  return seen === 0 ? 0 : (tokens / seen) * size;
}
