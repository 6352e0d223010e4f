/**
 * `npm run bench:dropout-cost [-- --models minilm --precision fp32,bf16 --rounds 15 --steps 4 --warm-up 40]`: what a step of 8 × 128
 * tokens costs with dropout 0.1 beside one without, one worker on all cores. `--short`: a tiny model, to try the harness.
 */
import { runBench } from "./support/bench-flags.ts";
import { benchStepCost } from "./support/step-cost.ts";

const gradientCheckpointing = false;

await runBench(() =>
  benchStepCost(
    "dropout-cost",
    [
      { name: "dropout 0.1", dropout: 0.1, gradientCheckpointing },
      { name: "no dropout", dropout: 0, gradientCheckpointing },
    ],
    process.argv.slice(2),
  ),
);
