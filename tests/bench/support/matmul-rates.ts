/** The best matrix product rate of this machine on a model's own shapes, of PyTorch and of TensorFlow. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { glibcTunables } from "../../../coordinator/launch/local-launcher.ts";
import { ensureNativeParts } from "../../../foundation/native/native-parts.ts";
import { engineVariables } from "../../../worker/engine-environment.ts";
import { productFlops, type Product } from "./floor.ts";
import { endWithBench } from "./leftovers.ts";
import { startPeerRanks, type PeerRanks } from "./peer-ranks.ts";

/** A rate and where it was reached. */
export interface BestRate {
  readonly gflops: number;
  /** `TensorFlow` or `PyTorch`, and the product. */
  readonly where: string;
}

const msSchema = z.object({ ms: z.array(z.number()) });
const helloSchema = z.object({ torch: z.string() });

/** Operations of a block that is timed as one: 50 to 100 ms of two cores. */
const blockFlops = 1e10;

async function messageFrom(child: ChildProcess): Promise<unknown> {
  const over = new AbortController();
  const exited = once(child, "exit", { signal: over.signal }).then(([code]) => {
    throw new Error(`Cannot measure TensorFlow's matrix products: the process ended with ${code}`);
  });
  exited.catch(() => undefined);
  try {
    const answer = once(child, "message", { signal: over.signal });
    const [message]: unknown[] = await Promise.race([answer, exited]);
    return message;
  } finally {
    over.abort();
  }
}

/** Measures in rounds, beside what else is measured in them, and keeps the best of each. */
export class MatmulRates {
  readonly #products: readonly Product[];
  readonly #precision: "fp32" | "bf16";
  readonly #ours: ChildProcess;
  readonly #peer: PeerRanks<unknown> | null;
  readonly #bindingFile: string;
  readonly #calls: number;
  #best: BestRate = { gflops: 0, where: "" };

  private constructor(options: {
    readonly products: readonly Product[];
    readonly precision: "fp32" | "bf16";
    readonly ours: ChildProcess;
    readonly peer: PeerRanks<unknown> | null;
    readonly bindingFile: string;
  }) {
    this.#products = options.products;
    this.#precision = options.precision;
    this.#ours = options.ours;
    this.#peer = options.peer;
    this.#bindingFile = options.bindingFile;
    const largest = Math.max(...options.products.map(productFlops));
    this.#calls = Math.max(3, Math.ceil(blockFlops / largest));
  }

  /** Starts a process for each library. */
  static async start(
    products: readonly Product[],
    precision: "fp32" | "bf16",
    withPeer: boolean,
  ): Promise<MatmulRates> {
    const { bindingFile } = await ensureNativeParts({
      env: process.env,
      device: "cpu",
      progress: { begin: () => ({ advance: () => undefined, end: () => undefined }) },
      signal: new AbortController().signal,
      parts: ["tensorflow", "binding"],
    });
    const script = fileURLToPath(new URL("./matmul-process.ts", import.meta.url));
    const settings = engineVariables({ threads: 0, device: "cpu", localRank: 0 });
    const ours = fork(script, {
      execArgv: ["--import", "tsx"],
      // TensorFlow says there which kernels it uses.
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      env: { ...process.env, GLIBC_TUNABLES: glibcTunables, ...settings },
    });
    endWithBench(ours);
    await messageFrom(ours);
    const peer = withPeer ? await startPeerRanks("matmul_rate.py", [], helloSchema) : null;
    return new MatmulRates({ products, precision, ours, peer, bindingFile });
  }

  /** Times every product once in each library. TensorFlow's eager ops know no bf16: PyTorch's oneDNN stands for both. */
  async round(): Promise<void> {
    const command = { calls: this.#calls, products: this.#products, precision: this.#precision };
    if (this.#precision === "fp32") {
      const answer = messageFrom(this.#ours);
      this.#ours.send({ ...command, bindingFile: this.#bindingFile });
      this.#take("TensorFlow", msSchema.parse(await answer).ms);
    }
    if (this.#peer !== null) {
      this.#take("PyTorch", (await this.#peer.ask(command, msSchema)).ms);
    }
  }

  /** The best so far. */
  get best(): BestRate {
    return this.#best;
  }

  #take(library: string, ms: readonly number[]): void {
    for (const [index, product] of this.#products.entries()) {
      const gflops = productFlops(product) / (ms[index] ?? Number.NaN) / 1e6;
      if (gflops > this.#best.gflops) {
        this.#best = { gflops, where: `${library}, ${product.name}` };
      }
    }
  }

  async close(): Promise<void> {
    const ended = once(this.#ours, "exit");
    this.#ours.kill("SIGKILL");
    await Promise.all([ended, this.#peer?.close()]);
  }
}
