/** What logits say, and how it is written. Pure. */
import type { ProblemType } from "../../foundation/families/family.ts";
import { argmax } from "../../foundation/metrics/metric-tally.ts";

/** What logits mean. */
export interface Meaning {
  readonly problemType: ProblemType;
  /** Labels by number. */
  readonly labels: readonly string[];
}

/** One prediction. For several labels at once, `label` and `score` are lists of what is said yes to. */
export interface Prediction {
  readonly label: string | readonly string[];
  /** Probability of the label; for a regression the value itself. */
  readonly score: number | readonly number[];
  readonly logits: readonly number[];
}

/** Probabilities that sum to one. Safe for large logits. */
export function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

/** A float32 in as few digits as tell it from its neighbours. */
function shortFloat(value: number): number {
  return Number(Math.fround(value).toPrecision(8));
}

/** The prediction that logits make, as transformers' text-classification pipeline scores it. */
export function predictionOf(raw: ArrayLike<number>, { problemType, labels }: Meaning): Prediction {
  const logits = Array.from(raw, shortFloat);
  const best = argmax(logits);
  switch (problemType) {
    case "regression": {
      return {
        label: labels[0] ?? "",
        score: logits.length === 1 ? (logits[0] ?? 0) : logits,
        logits,
      };
    }
    case "multi_label_classification": {
      const yes = logits.flatMap((logit, number) => (logit > 0 ? [number] : []));
      return {
        label: yes.map((number) => labels[number] ?? String(number)),
        score: yes.map((number) => shortFloat(sigmoid(logits[number] ?? 0))),
        logits,
      };
    }
    case "single_label_classification":
      return {
        label: labels[best] ?? String(best),
        score: shortFloat(softmax(logits)[best] ?? 0),
        logits,
      };
  }
}

const textCharactersMax = 60;

function shown(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length <= textCharactersMax ? line : `${line.slice(0, textCharactersMax - 1)}…`;
}

function scoreText(score: number): string {
  return score.toFixed(4);
}

/** One line for people: label, score, beginning of the text. */
export function predictionLine(
  prediction: Prediction,
  texts: { readonly text: string; readonly textPair?: string },
  labelWidth: number,
): string {
  const { label, score } = prediction;
  const name = typeof label === "string" ? label : label.length === 0 ? "–" : label.join(", ");
  const value = typeof score === "number" ? scoreText(score) : score.map(scoreText).join(", ");
  const pair = texts.textPair === undefined ? "" : ` | ${shown(texts.textPair)}`;
  return `${name.padEnd(labelWidth)}  ${value}  ${shown(texts.text)}${pair}`;
}
