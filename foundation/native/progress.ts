/** How a set-up tells what it is doing: one live line with a bar on a terminal, plain lines elsewhere. */

/** Something under way. */
export interface ProgressTask {
  /** That many bytes more are done. */
  advance(bytes: number): void;
  /** It is over; the note follows its last line. */
  end(note?: string): void;
}

/** Takes what is to be told. */
export interface ProgressSink {
  /** `totalBytes` where it is known; without it no bar and no remaining time are shown. */
  begin(task: { label: string; totalBytes?: number }): ProgressTask;
}

/** Where progress is written. */
export interface ProgressOptions {
  readonly output: { write(text: string): unknown };
  readonly isTerminal: boolean;
  /** Milliseconds from any origin. */
  readonly now: () => number;
}

/** How far a task is. */
export interface ProgressState {
  readonly label: string;
  readonly doneBytes: number;
  readonly totalBytes: number | null;
  readonly elapsedMs: number;
}

const barCharacters = 24;
const redrawEveryMs = 100;
const eraseLine = "\r\u001b[2K";

/** Bytes for people: `274 MB`, `7.2 MB`, `99 kB`. */
export function describeBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

/** A duration for people: `8 s`, `2 min 5 s`. */
export function describeDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** The live line: label, bar, share, sizes, rate, remaining time. */
export function describeProgress(state: ProgressState): string {
  const { label, doneBytes, totalBytes, elapsedMs } = state;
  const rate = elapsedMs > 0 ? (doneBytes / elapsedMs) * 1000 : 0;
  if (totalBytes === null || totalBytes === 0) {
    const size = doneBytes > 0 ? `${describeBytes(doneBytes)}, ` : "";
    return `  ${label}  ${size}${describeDuration(elapsedMs)}`;
  }
  const share = Math.min(1, doneBytes / totalBytes);
  const filled = Math.round(share * barCharacters);
  const bar = "█".repeat(filled) + "░".repeat(barCharacters - filled);
  const remaining = rate > 0 ? describeDuration(((1 - share) * totalBytes * 1000) / rate) : "–";
  const sizes = `${describeBytes(doneBytes)} of ${describeBytes(totalBytes)}`;
  return `  ${label}  ${bar} ${Math.floor(share * 100)} %  ${sizes}  ${describeBytes(rate)}/s  ${remaining} left`;
}

function describeEnd(state: ProgressState, note: string | undefined): string {
  const size = state.doneBytes > 0 ? `${describeBytes(state.doneBytes)} in ` : "";
  return `  ${state.label}  ${note ?? `done, ${size}${describeDuration(state.elapsedMs)}`}\n`;
}

/** Tasks may overlap; the live line shows the one that moved last. */
export function createProgressSink(options: ProgressOptions): ProgressSink {
  const { output, isTerminal, now } = options;
  return {
    begin({ label, totalBytes }) {
      const startedAt = now();
      let doneBytes = 0;
      let drawnAt = Number.NEGATIVE_INFINITY;
      const state = (): ProgressState => ({
        label,
        doneBytes,
        totalBytes: totalBytes ?? null,
        elapsedMs: now() - startedAt,
      });
      const draw = (): void => {
        if (!isTerminal || now() - drawnAt < redrawEveryMs) return;
        drawnAt = now();
        output.write(eraseLine + describeProgress(state()));
      };
      if (!isTerminal) {
        const size = totalBytes === undefined ? "" : ` (${describeBytes(totalBytes)})`;
        output.write(`  ${label}${size} …\n`);
      }
      draw();
      return {
        advance(bytes) {
          doneBytes += bytes;
          draw();
        },
        end(note) {
          output.write((isTerminal ? eraseLine : "") + describeEnd(state(), note));
        },
      };
    },
  };
}
