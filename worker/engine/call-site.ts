/** Where in a model something was done, for messages about recordings. Remembering is cheap, telling is not. */

/** Frames of tfjs, of Node and of the recorder say nothing about the model. */
const silent =
  /node_modules|node:|\/tfjs-[a-z-]+\/|\(<anonymous>\)|\/engine\/(call-site|recorder|tensorflow-backend)\.ts/;
const framesTold = 3;
/** Stacks end after ten frames by default, which tfjs alone can fill. */
const framesKept = 60;

/** A place in the code. */
export class CallSite {
  readonly #error: Error;

  /** Remembers the caller's place. */
  constructor() {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = framesKept;
    this.#error = new Error("here");
    Error.stackTraceLimit = stackTraceLimit;
  }

  /** The innermost frames of the model's code, innermost first. */
  tell(): string {
    return (this.#error.stack ?? "")
      .split("\n")
      .slice(1)
      .filter((frame) => !silent.test(frame))
      .slice(0, framesTold)
      .map((frame) => frame.trim().replace(/^at /, ""))
      .join(" ← ");
  }
}
