/** Hands an invocation to its command. Each is loaded only when it is asked for. */
import type { Invocation } from "../options.ts";
import type { CommandContext } from "./command-context.ts";
import { flagValue } from "./compute-flags.ts";

function machineOptions(invocation: Invocation, context: CommandContext) {
  return {
    env: context.env,
    device: flagValue(invocation.flags, "device", "device"),
    output: context.stdout,
    signal: context.interrupts.finish,
  };
}

async function setup(invocation: Invocation, context: CommandContext): Promise<number> {
  const { runSetup } = await import("./setup.ts");
  return runSetup({
    ...machineOptions(invocation, context),
    quickstart: invocation.flags["quickstart"] === true,
    isTerminal: context.stdout.isTTY === true,
    now: () => context.now().getTime(),
  });
}

async function doctor(invocation: Invocation, context: CommandContext): Promise<number> {
  const { runDoctor } = await import("./doctor.ts");
  return runDoctor({ ...machineOptions(invocation, context), nodeVersion: context.nodeVersion });
}

/** Runs the command; resolves with the program's exit code. */
export async function runCommand(invocation: Invocation, context: CommandContext): Promise<number> {
  const { command, operands, flags } = invocation;
  switch (command) {
    case "train": {
      const { runTrain } = await import("./train.ts");
      return runTrain(operands[0] ?? null, flags, context);
    }
    case "predict": {
      const { runPredict } = await import("./predict.ts");
      return runPredict(operands, flags, context);
    }
    case "eval": {
      const { runEval } = await import("./eval.ts");
      return runEval(operands, flags, context);
    }
    case "runs": {
      const { runRuns } = await import("./runs.ts");
      return runRuns(operands, flags, context);
    }
    case "verify": {
      const { runVerify } = await import("./verify.ts");
      return runVerify(operands, flags, context);
    }
    case "control": {
      const { runControl } = await import("./control.ts");
      return runControl(operands, flags, context);
    }
    case "launch": {
      const { runLaunch } = await import("./launch.ts");
      return runLaunch(operands, flags, context);
    }
    case "setup":
      return setup(invocation, context);
    case "doctor":
      return doctor(invocation, context);
    default:
      throw new Error(`Cannot run the command ${command}: it is not known`);
  }
}
