/**
 * Makes prom-client's metrics from the contract in `proto/metric-names.ts`, in a registry of their own.
 */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { durationBuckets, type MetricDefinition } from "../../proto/metric-names.ts";

function configurationOf(
  registry: Registry,
  definition: MetricDefinition,
): { name: string; help: string; labelNames: string[]; registers: Registry[] } {
  const { name, help, labels } = definition;
  return { name, help, labelNames: [...labels], registers: [registry] };
}

/** A counter; it shows 0 from the start when it has no labels. */
export function counterOf(
  registry: Registry,
  definition: MetricDefinition & { readonly kind: "counter" },
): Counter {
  return new Counter(configurationOf(registry, definition));
}

/** A gauge; it shows nothing before it is set, for 0 would be a lie. */
export function gaugeOf(
  registry: Registry,
  definition: MetricDefinition & { readonly kind: "gauge" },
): Gauge {
  const gauge = new Gauge(configurationOf(registry, definition));
  if (definition.labels.length === 0) gauge.remove();
  return gauge;
}

/** A histogram of durations in seconds. */
export function histogramOf(
  registry: Registry,
  definition: MetricDefinition & { readonly kind: "histogram" },
): Histogram {
  return new Histogram({
    ...configurationOf(registry, definition),
    buckets: [...durationBuckets],
  });
}
