/**
 * `run.json` in the output folder: what a run is and where it can be reached. It stays when the run is over; whether its
 * process is alive tells whether it goes on.
 */
import { join } from "node:path";
import { jsonText } from "../checkpoint/checkpoint-folder.ts";
import { replaceFile } from "../checkpoint/write-aside.ts";

/** A run as others find it. */
export interface RunFile {
  readonly run: string;
  /** Process id of the coordinator. */
  readonly processId: number;
  /** RFC 3339. */
  readonly startedAt: string;
  /** host:port at which workers join. */
  readonly coordinatorAddress: string;
  /** URL of the metrics page. */
  readonly metricsUrl: string;
  readonly workers: number;
}

/** Writes the file. */
export function writeRunFile(outputDir: string, content: RunFile): Promise<void> {
  return replaceFile(join(outputDir, "run.json"), jsonText(content));
}
