// Runs `child-guard.mjs COMMAND ARGUMENTS…` and dies with whoever started it: its standard input is a pipe that only
// closes when that process closes it or is gone, SIGKILL included. The guard leads a process group of its own (it is
// started detached), so that nothing the command has started stays behind, and a terminal's Ctrl-C does not reach it.
import { spawn } from "node:child_process";
import { constants } from "node:os";

const [command, ...commandArguments] = process.argv.slice(2);
const endGroup = () => process.kill(-process.pid, "SIGKILL");
process.stdin.on("end", endGroup).on("error", endGroup).resume();
const child = spawn(command ?? "", commandArguments, { stdio: ["ignore", "inherit", "inherit"] });
child.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(127);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
