/** Flags and environment of the worker program, checked. A flag comes before its environment variable. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { z } from "zod";
import { BadInput } from "../foundation/bad-input.ts";
import {
  formatAddress,
  parseListenAddress,
  type ListenAddress,
} from "../foundation/telemetry/listen-address.ts";
import { tlsFilesOf, type TlsFiles } from "../foundation/tls/tls-identity.ts";
import { workerEnvironment as names } from "../proto/environment.ts";

/** What a worker is started with. */
export interface WorkerOptions {
  /** host:port of the coordinator. */
  readonly coordinator: string;
  /** Run to join; empty takes the coordinator's only run. */
  readonly run: string;
  readonly joinToken: string;
  /** Files of mutual TLS with coordinator and neighbours; null for plain text. */
  readonly tls: TlsFiles | null;
  /** How long an unreachable coordinator is waited for, in milliseconds. */
  readonly joinWaitMs: number;
  /** Interface and port of the ring service; port 0 takes a free one. */
  readonly listen: ListenAddress;
  /** Host under which neighbours and the metrics' readers reach this worker. */
  readonly advertiseHost: string;
  /** host:port at which metrics and health are served, or null for nowhere. */
  readonly metricsListen: string | null;
  readonly device: "cpu" | "gpu";
  /** Place among the workers of this host, from 0: chooses the GPU. */
  readonly localRank: number;
  /** `auto` passes payloads between workers of one host in shared memory. */
  readonly ringTransport: "auto" | "grpc";
  /** Threads beside the main one that payloads between hosts are spread over; null for as many as the cores are worth. */
  readonly ringLanes: number | null;
  /** Least level that is logged; `debug` tells every directive and activity. */
  readonly logLevel: LogLevel;
  /** The native binding that a launcher has ensured, or null to ensure one's own. */
  readonly native: { readonly bindingFile: string; readonly tensorflowVersion: string } | null;
  /** Threads that the job will want, as the launcher says: TensorFlow is loaded at once. Null: when the job is prepared. */
  readonly threads: number | null;
}

const logLevels = ["debug", "info", "warn", "error"] as const;

/** Levels of the log, from the most talkative. */
export type LogLevel = (typeof logLevels)[number];

/** What the command line asks for. */
export type WorkerRequest =
  | { readonly kind: "work"; readonly options: WorkerOptions }
  | { readonly kind: "help"; readonly text: string };

const joinTokenBytesMax = 4096;

function buildCommand(): Command {
  return new Command("worker")
    .description("Joins a run of a coordinator and computes for it.")
    .option("--coordinator <host:port>", `the coordinator's address (${names.coordinator})`)
    .option(
      "--join-token-file <file>",
      `file that holds the join token (or ${names.joinToken} in the environment)`,
    )
    .option("--tls-cert <file>", `certificate to show, PEM (${names.tlsCert})`)
    .option("--tls-key <file>", `its private key, PEM (${names.tlsKey})`)
    .option("--tls-ca <file>", `authority whose certificates are taken, PEM (${names.tlsCa})`)
    .option("--run <name>", `run to join; default: the coordinator's only one (${names.run})`)
    .option("--join-wait <seconds>", "how long to wait for a coordinator that is not up", "600")
    .option("--listen <host:port>", "where the ring service listens; port 0: a free one", "")
    .option(
      "--advertise-host <host>",
      `host under which neighbours reach this worker (${names.advertiseHost}); default: 127.0.0.1`,
    )
    .option(
      "--metrics-listen <host:port>",
      `where metrics and health are served, or none (${names.metricsListen}); default: none`,
    )
    .option("--device <device>", `cpu or gpu (${names.device}); default: cpu`)
    .option("--local-rank <rank>", `place among this host's workers (${names.localRank})`)
    .option("--ring-transport <transport>", "auto, or grpc for no shared memory", "auto")
    .option(
      "--ring-lanes <count>",
      `threads that payloads between hosts are spread over, or auto (${names.ringLanes}); default: auto`,
    )
    .option("--log-level <level>", `${logLevels.join(", ")} (RINGMASTER_LOG_LEVEL); default: info`)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
}

const flagsSchema = z.object({
  coordinator: z.string().optional(),
  joinTokenFile: z.string().optional(),
  run: z.string().optional(),
  tlsCert: z.string().optional(),
  tlsKey: z.string().optional(),
  tlsCa: z.string().optional(),
  joinWait: z.string(),
  listen: z.string(),
  advertiseHost: z.string().optional(),
  metricsListen: z.string().optional(),
  device: z.string().optional(),
  localRank: z.string().optional(),
  ringTransport: z.string(),
  ringLanes: z.string().optional(),
  logLevel: z.string().optional(),
});

/**
 * Reads flags and environment. Throws BadInput.
 * @param args the arguments after the program's name
 */
export function readWorkerOptions(args: readonly string[], env: NodeJS.ProcessEnv): WorkerRequest {
  const command = buildCommand();
  try {
    command.parse([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.helpDisplayed") {
      return { kind: "help", text: command.helpInformation() };
    }
    const found = error.message.replace(/^error: /u, "");
    throw new BadInput({ expected: "the flags that worker --help lists", found });
  }
  const flags = flagsSchema.parse(command.opts());
  const from = (flag: string | undefined, name: string): string => flag ?? env[name] ?? "";
  const advertiseHost = from(flags.advertiseHost, names.advertiseHost) || "127.0.0.1";
  const listenHost = advertiseHost === "127.0.0.1" ? "127.0.0.1" : "0.0.0.0";
  const lanes = from(flags.ringLanes, names.ringLanes) || "auto";
  const metrics = from(flags.metricsListen, names.metricsListen) || "none";
  const options: WorkerOptions = {
    coordinator: readCoordinator(from(flags.coordinator, names.coordinator)),
    run: from(flags.run, names.run),
    joinToken: readJoinToken(flags.joinTokenFile, env),
    tls: tlsFilesOf({
      cert: from(flags.tlsCert, names.tlsCert),
      key: from(flags.tlsKey, names.tlsKey),
      ca: from(flags.tlsCa, names.tlsCa),
    }),
    joinWaitMs: readNumber("--join-wait", flags.joinWait, joinWaitSecondsMax) * 1000,
    listen: parseListenAddress(flags.listen || `${listenHost}:0`, "--listen"),
    advertiseHost,
    metricsListen: metrics === "none" ? null : metrics,
    device: readChoice("--device", from(flags.device, names.device) || "cpu", ["cpu", "gpu"]),
    localRank: readNumber(
      "--local-rank",
      from(flags.localRank, names.localRank) || "0",
      localRankMax,
    ),
    ringTransport: readChoice("--ring-transport", flags.ringTransport, ["auto", "grpc"]),
    ringLanes: lanes === "auto" ? null : readNumber("--ring-lanes", lanes, ringLanesMax),
    logLevel: readChoice(
      "--log-level",
      from(flags.logLevel, "RINGMASTER_LOG_LEVEL") || "info",
      logLevels,
    ),
    native: readNative(env),
    threads: readThreads(env),
  };
  return { kind: "work", options };
}

const joinWaitSecondsMax = 86_400;
const localRankMax = 1023;
const ringLanesMax = 16;
const threadsMax = 65_535;

function readCoordinator(text: string): string {
  const flag = "--coordinator";
  const { host, port } = parseListenAddress(text, flag);
  if (port === 0) throw new BadInput({ flag, expected: "the coordinator's port", found: text });
  return formatAddress(host, port);
}

function readNumber(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/u.test(text) || value > max) {
    throw new BadInput({ flag, expected: `a whole number from 0 to ${max}`, found: text });
  }
  return value;
}

function readThreads(env: NodeJS.ProcessEnv): number | null {
  const text = env[names.threads] ?? "";
  return text === "" ? null : readNumber(names.threads, text, threadsMax);
}

function readChoice<Choice extends string>(
  flag: string,
  text: string,
  choices: readonly Choice[],
): Choice {
  const choice = choices.find((one) => one === text);
  if (choice === undefined) {
    throw new BadInput({ flag, expected: choices.join(" or "), found: text });
  }
  return choice;
}

function readJoinToken(file: string | undefined, env: NodeJS.ProcessEnv): string {
  const flag = "--join-token-file";
  const token = file === undefined ? (env[names.joinToken] ?? "") : readSecret(flag, file);
  if (token === "" || Buffer.byteLength(token) > joinTokenBytesMax) {
    const remedy = `give ${flag}, or ${names.joinToken} in the environment`;
    throw new BadInput({ flag, expected: "a join token", found: "none", remedy });
  }
  return token;
}

function readSecret(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new BadInput({ flag, file, expected: "a readable file", found });
  }
}

function readNative(env: NodeJS.ProcessEnv): WorkerOptions["native"] {
  const bindingFile = env[names.bindingFile] ?? "";
  const tensorflowVersion = env[names.tensorflowVersion] ?? "";
  return bindingFile === "" ? null : { bindingFile, tensorflowVersion };
}
