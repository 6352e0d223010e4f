/** Which view shows a run: one that draws on a terminal, or lines for a pipe. */
import { LiveView } from "../live/live-view.ts";
import { PlainView } from "../live/plain-view.ts";
import type { RunView } from "../live/run-view.ts";
import type { CommandContext } from "./command-context.ts";

const terminalColumns = 80;

/**
 * The view for a command's output. A terminal that cannot move its cursor (`TERM=dumb`) is given lines.
 * @param everySteps steps between two lines on a pipe
 */
export function chooseView(
  context: Pick<CommandContext, "stdout" | "stderr" | "env">,
  everySteps: number,
): RunView {
  const { stdout, stderr, env } = context;
  if (stdout.isTTY === true && env["TERM"] !== "dumb") {
    return new LiveView({
      write: (text) => void stdout.write(text),
      columns: () => stdout.columns ?? terminalColumns,
    });
  }
  const out = (line: string): void => void stdout.write(`${line}\n`);
  const error = (line: string): void => void stderr.write(`${line}\n`);
  return new PlainView({ out, error }, everySteps);
}
