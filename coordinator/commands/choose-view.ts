/** Which view shows a run: one that draws on a terminal, or lines for a pipe. */
import { LiveView } from "../live/live-view.ts";
import { PlainView } from "../live/plain-view.ts";
import type { RunView } from "../live/run-view.ts";
import type { CommandContext } from "./command-context.ts";

const columnsDefault = 80;

/** The view for a command's output. @param everySteps steps between two lines on a pipe */
export function chooseView(context: CommandContext, everySteps: number): RunView {
  const out = (line: string): void => void context.stdout.write(`${line}\n`);
  const error = (line: string): void => void context.stderr.write(`${line}\n`);
  const { stdout } = context;
  if (stdout.isTTY === true) {
    const write = (text: string): void => void stdout.write(text);
    return new LiveView({ write, columns: () => stdout.columns ?? columnsDefault });
  }
  return new PlainView({ out, error }, everySteps);
}
