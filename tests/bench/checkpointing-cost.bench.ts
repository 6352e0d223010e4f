/**
 * `npm run bench:checkpointing-cost [-- --models minilm --precision fp32,bf16 --rounds 15 --steps 4 --warm-up 40]`: what a step of
 * 8 × 128 tokens costs with `--gradient-checkpointing` beside one without, dropout 0.1, one worker on all cores. `--short`: a tiny
 * model, to try the harness.
 */
import { runBench } from "./support/bench-flags.ts";
import { benchStepCost } from "./support/step-cost.ts";

const dropout = 0.1;

await runBench(() =>
  benchStepCost(
    "checkpointing-cost",
    [
      { name: "layers computed again", dropout, gradientCheckpointing: true },
      { name: "kept", dropout, gradientCheckpointing: false },
    ],
    process.argv.slice(2),
  ),
);
