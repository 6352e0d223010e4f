/** Settings of how the run is carried out: workers, services, and what is looked at. */
import { z } from "zod";
import { parseStepRange, profiledStepsMax } from "./profile-steps.ts";
import { newestConvolutionTable } from "../convolution-table.ts";
import { gradientWires } from "../gradient-wire.ts";
import { setting } from "./setting.ts";

const workersMax = 1024;
const threadsMax = 1024;
const bucketsMax = 256;
const stepsMax = 1_000_000_000;
const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/)
  .refine(hasValidPort);

function isProfileRange(text: string): boolean {
  const { first, last } = parseStepRange(text);
  return first <= last && last - first < profiledStepsMax;
}

function hasValidPort(hostAndPort: string): boolean {
  return Number(hostAndPort.slice(hostAndPort.lastIndexOf(":") + 1)) <= 65_535;
}

/** How the run is carried out; none of it changes what is trained but `eager`, `bf16`, `fp16`, `gradient-wire` and `device`, to rounding. */
export const launchSettings = {
  workers: setting(z.number().int().min(1).max(workersMax).default(1), {
    group: "Workers and services",
    form: "number",
    placeholder: "count",
    help: "worker processes; never changes what is trained",
    expected: `a whole number from 1 to ${workersMax}`,
    onResume: "free",
  }),
  maxWorkers: setting(z.number().int().min(1).max(workersMax).nullable().default(null), {
    group: "Workers and services",
    form: "number",
    placeholder: "count",
    help: "workers that may take part: further ones join while the run goes on; never changes what is trained",
    expected: `a whole number from 1 to ${workersMax}`,
    onResume: "free",
    defaultText: "--workers",
  }),
  spawnWorkers: setting(z.boolean().default(true), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "start the workers here; --no-spawn-workers waits for as many to join from elsewhere",
    expected: "true or false",
    onResume: "free",
  }),
  threadsPerWorker: setting(z.number().int().min(1).max(threadsMax).nullable().default(null), {
    group: "Workers and services",
    form: "number",
    placeholder: "count",
    help: "threads that compute in each worker",
    expected: `a whole number from 1 to ${threadsMax}`,
    onResume: "free",
    defaultText: "the cores, shared out",
  }),
  verifyEvery: setting(z.number().int().min(1).max(stepsMax).nullable().default(null), {
    group: "Workers and services",
    form: "number",
    placeholder: "steps",
    help: "compare the weights of all workers every so many steps; a worker with a flipped bit is named, and the run stops",
    expected: "a whole number of steps from 1",
    onResume: "free",
    defaultText: "at checkpoints only",
  }),
  profile: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "trace some steps op by op into <output-dir>/profile, for ui.perfetto.dev, with a summary (docs/performance.md)",
    expected: "true or false",
    onResume: "free",
  }),
  profileSteps: setting(
    z
      .string()
      .regex(/^[1-9]\d{0,8}(-[1-9]\d{0,8})?$/u)
      .refine(isProfileRange)
      .nullable()
      .default(null),
    {
      group: "Workers and services",
      form: "text",
      placeholder: "first-last",
      help: "the steps that are traced, such as 10-12; implies --profile",
      expected: `a step or a range of at most ${profiledStepsMax} steps, such as 10-12`,
      onResume: "free",
      defaultText: "the 10th to the 12th step of this start",
    },
  ),
  allowMixedHardware: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "take workers whose processors compute other bits: the result then depends on who computed what; on CPUs it implies --zero-stage 1",
    expected: "true or false",
    onResume: "said",
  }),
  gradientWire: setting(z.enum(gradientWires).default("int32"), {
    group: "Workers and services",
    form: "text",
    placeholder: "format",
    help: "how gradients travel between workers: int32, int16 or int8-block; fewer bits are rounded at random, the same for all; float32 gives up bits that are the same for any number of workers",
    expected: `one of ${gradientWires.join(", ")}`,
    onResume: "fixed",
  }),
  gradientBuckets: setting(z.number().int().min(1).max(bucketsMax).nullable().default(null), {
    group: "Workers and services",
    form: "number",
    placeholder: "count",
    help: "pieces in which gradients are exchanged, each as soon as it is computed; never changes what is trained",
    expected: `a whole number from 1 to ${bucketsMax}`,
    onResume: "free",
    defaultText:
      "12 for a worker that is alone, 1 for several on one host, over a network 8; fewer for small models",
  }),
  zeroStage: setting(z.literal([0, 1]).default(0), {
    group: "Workers and services",
    form: "number",
    placeholder: "stage",
    help: "1 shares the optimiser's state out over the workers: each keeps and updates its part and sends the weights; the same bits, 8·P·(N−1)/N bytes less memory",
    expected: "0 or 1",
    onResume: "free",
  }),
  device: setting(z.enum(["cpu", "gpu"]).default("cpu"), {
    group: "Workers and services",
    form: "text",
    placeholder: "cpu|gpu",
    help: "what the workers compute on",
    expected: "cpu or gpu",
    onResume: "said",
  }),
  eager: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "run without recorded graphs: slow, for debugging",
    expected: "true or false",
    onResume: "said",
  }),
  bf16: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "multiply matrices in bfloat16, adding up in float32; weights and all else stay float32",
    expected: "true or false",
    onResume: "fixed",
  }),
  forceBf16: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "--bf16 also on processors without bfloat16 instructions, where it saves no time",
    expected: "true or false",
    onResume: "free",
  }),
  fp16: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "multiply matrices in 16-bit floats, with a dynamic loss scale; weights and all else stay float32; on GPUs",
    expected: "true or false",
    onResume: "fixed",
  }),
  forceFp16: setting(z.boolean().default(false), {
    group: "Workers and services",
    form: "boolean",
    placeholder: "",
    help: "--fp16 also on CPUs, where it is very slow",
    expected: "true or false",
    onResume: "free",
  }),
  convolutionTable: setting(
    z.number().int().min(1).max(newestConvolutionTable).default(newestConvolutionTable),
    {
      group: "Workers and services",
      form: "number",
      placeholder: "version",
      help: "rules by which kernels of convolutions are chosen; a resumed run keeps its own",
      expected: `a version from 1 to ${newestConvolutionTable}`,
      onResume: "fixed",
    },
  ),
  listen: setting(address.nullable().default(null), {
    group: "Workers and services",
    form: "text",
    placeholder: "host:port",
    help: "where workers reach the coordinator; port 0 takes a free one",
    expected: "host:port, such as 0.0.0.0:7077",
    onResume: "free",
    defaultText: "127.0.0.1:0, or 0.0.0.0:7077 when waiting for workers",
  }),
  metricsListen: setting(address.default("127.0.0.1:0"), {
    group: "Workers and services",
    form: "text",
    placeholder: "host:port",
    help: "where /metrics, /healthz and /readyz are served; port 0 takes a free one",
    expected: "host:port, such as 127.0.0.1:9464",
    onResume: "free",
  }),
  nats: setting(
    z
      .string()
      .regex(/^(nats|tls):\/\/[^\s]+$/)
      .nullable()
      .default(null),
    {
      group: "Workers and services",
      form: "text",
      placeholder: "url",
      help: "use this NATS server",
      expected: "a URL such as nats://host:4222",
      onResume: "free",
      defaultText: "one of our own is started",
    },
  ),
  joinToken: setting(z.string().min(16).max(1024).nullable().default(null), {
    group: "Workers and services",
    form: "text",
    placeholder: "secret",
    help: "secret that workers prove to know; better given as RINGMASTER_JOIN_TOKEN",
    expected: "at least 16 characters",
    onResume: "free",
    defaultText: "random when workers are started here",
    secret: true,
  }),
  tlsCert: setting(z.string().min(1).nullable().default(null), {
    group: "Workers and services",
    form: "text",
    placeholder: "file",
    help: "certificate that coordinator and local workers show each other (PEM); secures all gRPC connections",
    expected: "a file",
    onResume: "free",
  }),
  tlsKey: setting(z.string().min(1).nullable().default(null), {
    group: "Workers and services",
    form: "text",
    placeholder: "file",
    help: "private key of --tls-cert (PEM)",
    expected: "a file",
    onResume: "free",
  }),
  tlsCa: setting(z.string().min(1).nullable().default(null), {
    group: "Workers and services",
    form: "text",
    placeholder: "file",
    help: "authority whose certificates are taken (PEM)",
    expected: "a file",
    onResume: "free",
  }),
} as const;
