/**
 * Steps that both sides take before the first one that counts. What runs for hundreds of steps is measured as it runs by then: at first
 * node compiles our own code beside the step, on the cores that compute, which takes a twentieth of them.
 */

/** By default. */
const whole = 40;
/** To try the harness. */
const short = 3;

/** What `--warm-up` means: 0 leaves it to the bench. */
export function warmUpSteps(flags: {
  readonly "warm-up": number;
  readonly short: boolean;
}): number {
  if (flags["warm-up"] > 0) return flags["warm-up"];
  return flags.short ? short : whole;
}
