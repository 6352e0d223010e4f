/**
 * The command line: commands, their flags, their help. What a command does is in `commands/`, loaded only when it is
 * asked for, so that a wrong flag is told at once.
 */
import { Command, CommanderError } from "commander";
import { BadInput } from "../foundation/bad-input.ts";
import { settingGroups } from "../foundation/job/setting.ts";
import { nearestName } from "../foundation/job/nearest.ts";
import { addQueryCommands } from "./query-flags.ts";
import { addSettingFlags, givenFlags } from "./train-flags.ts";

/** What was asked for: a command's arguments, and its flags by name without dashes, as given. */
export interface Invocation {
  readonly command: string;
  readonly operands: readonly string[];
  readonly flags: Readonly<Record<string, unknown>>;
}

/** Where help goes. */
export interface HelpOutput {
  readonly write: (text: string) => void;
  readonly columns: number;
}

const intro = `Fine-tunes pre-trained models on N workers: compiled steps, a ring all-reduce over gRPC.

Without a command it trains; without a job it trains the built-in quick start:
  coordinator --workers 4
  coordinator --model bert-base-uncased --train-file train.csv --validation-file dev.csv
  coordinator deploy/jobs/mrpc.yaml --workers 4`;

const trainOutro = `
Every flag can stand in the job file (kebab- or snake_case) and in the environment (RINGMASTER_LEARNING_RATE);
flags win over environment, environment over file. Fields of transformers' TrainingArguments are all known by name:
docs/from-trainer.md says which are settings, which have no effect, and what to use for the others.`;

function addTrain(program: Command, done: (invocation: Invocation) => void): Command {
  const train = program
    .command("train [job-file]", { isDefault: true })
    .summary("fine-tune a model (the default command)")
    .description(
      "Fine-tunes a model: a job file (YAML or JSON), flags, or the quick start when nothing is given.",
    )
    .option("--dry-run", "print the plan (steps, parameters, bytes per step, memory) and stop")
    .addHelpText("after", trainOutro);
  addSettingFlags(train);
  train.action((jobFile: string | undefined, options: { dryRun?: boolean }) => {
    done({
      command: "train",
      operands: jobFile === undefined ? [] : [jobFile],
      flags: { ...givenFlags(train), ...(options.dryRun === true ? { "dry-run": "true" } : {}) },
    });
  });
  return train;
}

/** The part of train's help that begins with its first group of flags. */
function flagsHelp(train: Command): string {
  const text = train.helpInformation();
  return text.slice(text.indexOf(`${settingGroups[0]}:`));
}

function createProgram(
  version: string,
  output: HelpOutput,
  done: (asked: Invocation) => void,
): Command {
  const program = new Command("coordinator");
  program
    .description(intro)
    .version(version)
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({
      writeOut: output.write,
      writeErr: () => {},
      getOutHelpWidth: () => output.columns,
    });
  const train = addTrain(program, done);
  addQueryCommands(program, done);
  program.addHelpText(
    "after",
    () => `\nFlags of train, the default command:\n\n${flagsHelp(train)}${trainOutro}`,
  );
  return program;
}

function unknownFlag(program: Command, args: readonly string[], flag: string): BadInput {
  const named = program.commands.find((command) => command.name() === args[0]);
  const command = named ?? program.commands.find((candidate) => candidate.name() === "train");
  const known = command?.options.flatMap((option) => option.long?.slice(2) ?? []) ?? [];
  const nearest = nearestName(flag.replace(/^-+/, ""), known);
  return new BadInput({
    expected: "a known flag",
    found: flag,
    remedy: nearest === null ? "--help lists them" : `did you mean --${nearest}?`,
  });
}

function lastWord(args: readonly string[]): string {
  return args.findLast((argument) => !argument.startsWith("-")) ?? "";
}

function translated(error: CommanderError, program: Command, args: readonly string[]): BadInput {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.unknownOption":
      return unknownFlag(program, args, quoted);
    case "commander.optionMissingArgument":
      return new BadInput({
        flag: quoted.split(" ")[0] ?? quoted,
        expected: "a value",
        found: "none",
      });
    case "commander.missingArgument":
      return new BadInput({
        expected: `the argument ${quoted}`,
        found: "none",
        remedy: "--help shows how",
      });
    case "commander.unknownCommand":
      return unknownCommand(program, quoted);
    case "commander.excessArguments":
      return new BadInput({
        expected: "no further argument",
        found: lastWord(args),
        remedy: "--help shows how",
      });
    default:
      return new BadInput({
        expected: "arguments as --help shows them",
        found: error.message.replace(/^error: /, ""),
      });
  }
}

function unknownCommand(program: Command, word: string): BadInput {
  const nearest = nearestName(word, commandNames(program));
  return new BadInput({
    expected: "a command or a job file",
    found: word,
    remedy: nearest === null ? "coordinator --help lists the commands" : `did you mean ${nearest}?`,
  });
}

function commandNames(program: Command): string[] {
  return program.commands.map((command) => command.name());
}

/** A word that is neither a command nor looks like a job file is a misspelt command, not the train command's operand. */
function checkFirstWord(program: Command, args: readonly string[]): void {
  const word = args[0] ?? "";
  if (!/^[a-z-]+$/.test(word) || word.startsWith("-") || word === "help") return;
  if (!commandNames(program).includes(word)) throw unknownCommand(program, word);
}

/**
 * Parses normalised arguments. Returns null when help or the version was printed. Throws BadInput for what is unknown,
 * with the nearest spelling.
 */
export function parseArguments(
  args: readonly string[],
  version: string,
  output: HelpOutput,
): Invocation | null {
  const asked: { invocation: Invocation | null } = { invocation: null };
  const program = createProgram(version, output, (invocation) => {
    asked.invocation = invocation;
  });
  try {
    checkFirstWord(program, args);
    program.parse([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return null;
    throw translated(error, program, args);
  }
  return asked.invocation;
}
