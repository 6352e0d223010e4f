/**
 * Who may talk to a run's pods: each other, and whoever scrapes metrics. Without TLS, records and gradients
 * travel unencrypted between the pods, so that nobody else is let in. Pure.
 */
import { ports, type KubernetesOptions } from "./kubernetes-options.ts";
import { labelsOf, type Part } from "./pod-parts.ts";

/** The policy; a cluster whose network plugin knows none ignores it. */
export function networkPolicy(options: KubernetesOptions): Part {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: options.name, labels: labelsOf(options) },
    spec: {
      podSelector: { matchLabels: labelsOf(options) },
      policyTypes: ["Ingress"],
      ingress: [
        { from: [{ podSelector: { matchLabels: labelsOf(options) } }] },
        { ports: [{ port: ports.metrics }] },
      ],
    },
  };
}
