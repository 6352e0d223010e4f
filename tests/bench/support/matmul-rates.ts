/** The best matrix product rate of this machine on a model's own shapes, of PyTorch, of TensorFlow and of our own kernels. */
import { z } from "zod";
import { processorFeatures } from "../../../foundation/host/processor-features.ts";
import { ownProductsFor, productKernels } from "../../../worker/engine/passes/own-products.ts";
import { productFlops, type Product } from "./floor.ts";
import { ensureBinding, ForkedEngine } from "./forked.ts";
import { startPeerRanks, type PeerRanks } from "./peer-ranks.ts";

/** A rate and where it was reached. */
export interface BestRate {
  readonly gflops: number;
  /** `TensorFlow`, `PyTorch` or our kernel, and the product. */
  readonly where: string;
}

const msSchema = z.object({ ms: z.array(z.number()) });
const helloSchema = z.object({ torch: z.string() });

/** Operations of a block that is timed as one: 50 to 100 ms of two cores. */
const blockFlops = 1e10;
/** Products timed as one, at least and at most: those of tiny models would be tens of thousands. */
const [callsMin, callsMax] = [3, 200] as const;

/** Measures in rounds, beside what else is measured in them, and keeps the best of each. */
export class MatmulRates {
  readonly #products: readonly Product[];
  readonly #precision: "fp32" | "bf16";
  readonly #ours: ForkedEngine;
  readonly #peer: PeerRanks<unknown> | null;
  readonly #bindingFile: string;
  readonly #calls: number;
  #best: BestRate = { gflops: 0, where: "" };

  private constructor(options: {
    readonly products: readonly Product[];
    readonly precision: "fp32" | "bf16";
    readonly ours: ForkedEngine;
    readonly peer: PeerRanks<unknown> | null;
    readonly bindingFile: string;
  }) {
    this.#products = options.products;
    this.#precision = options.precision;
    this.#ours = options.ours;
    this.#peer = options.peer;
    this.#bindingFile = options.bindingFile;
    const largest = Math.max(...options.products.map(productFlops));
    this.#calls = Math.min(callsMax, Math.max(callsMin, Math.ceil(blockFlops / largest)));
  }

  /** Starts a process for each library. */
  static async start(
    products: readonly Product[],
    precision: "fp32" | "bf16",
    withPeer: boolean,
  ): Promise<MatmulRates> {
    const bindingFile = await ensureBinding();
    const ours = new ForkedEngine("matmul-process.ts", 0);
    const peer = withPeer ? await startPeerRanks("matmul_rate.py", [], helloSchema) : null;
    return new MatmulRates({ products, precision, ours, peer, bindingFile });
  }

  /**
   * Times every product once in each library and in the kernel that our steps run. TensorFlow's eager ops know no bf16: PyTorch's
   * oneDNN stands for both.
   */
  async round(): Promise<void> {
    const command = { calls: this.#calls, products: this.#products, precision: this.#precision };
    const own = ownProductsFor(this.#precision, processorFeatures());
    const ops = [
      ...(this.#precision === "fp32" ? (["MatMul"] as const) : []),
      ...(own === null ? [] : [productKernels[own]]),
    ];
    for (const op of ops) {
      const answer = await this.#ours.ask({ ...command, op, bindingFile: this.#bindingFile });
      this.#take(op === "MatMul" ? "TensorFlow" : op, msSchema.parse(answer).ms);
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
    await Promise.all([this.#ours.close(), this.#peer?.close()]);
  }
}
