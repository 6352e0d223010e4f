/** Which view shows a run: one that draws on a terminal, or lines for a pipe. */
import { PlainView } from "../live/plain-view.ts";
import type { RunView } from "../live/run-view.ts";
import type { CommandContext } from "./command-context.ts";

/** The view for a command's output. @param everySteps steps between two lines on a pipe */
export function chooseView(context: CommandContext, everySteps: number): RunView {
  const out = (line: string): void => void context.stdout.write(`${line}\n`);
  const error = (line: string): void => void context.stderr.write(`${line}\n`);
  return new PlainView({ out, error }, everySteps);
}
