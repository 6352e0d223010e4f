/**
 * What the pods of a run have in common: names, labels, rights, probes, secrets. Pure.
 */
import { workerEnvironment as names } from "../../proto/environment.ts";
import { ports, type KubernetesOptions } from "./kubernetes-options.ts";

/** A Kubernetes object or a part of one, as YAML will have it. */
export type Part = Readonly<Record<string, unknown>>;

/** The parties of a run. */
export type Component = "coordinator" | "worker" | "nats";

/** Where the image has the programs. */
export const programs = {
  coordinator: "/opt/ringmaster/coordinator/bin.mjs",
  worker: "/opt/ringmaster/worker/bin.mjs",
  nats: "/usr/local/bin/nats-server",
};

/** The user that the image runs as. */
export const userId = 10_001;

/** Labels by which services and policies find the pods of a party. */
export function labelsOf(options: KubernetesOptions, component?: Component): Part {
  return {
    "app.kubernetes.io/name": "ringmaster",
    "app.kubernetes.io/instance": options.name,
    ...(component === undefined ? {} : { "app.kubernetes.io/component": component }),
  };
}

/** Name and labels of an object. */
export function metadataOf(options: KubernetesOptions, component: Component): Part {
  return { name: `${options.name}-${component}`, labels: labelsOf(options, component) };
}

/** No rights beyond computing: no root, no capabilities, no token of the cluster's API. */
export const podSecurity: Part = {
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  securityContext: {
    runAsNonRoot: true,
    runAsUser: userId,
    runAsGroup: userId,
    fsGroup: userId,
    seccompProfile: { type: "RuntimeDefault" },
  },
};

/** The same for a container. */
export const containerSecurity: Part = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
};

/** The Secret that `secrets.env` becomes. */
export function secretName(options: KubernetesOptions): string {
  return `${options.name}-secrets`;
}

/** An environment variable out of the run's Secret. */
export function fromSecret(name: string, key: string, options: KubernetesOptions): Part {
  return { name, valueFrom: { secretKeyRef: { name: secretName(options), key } } };
}

const tlsFolder = "/etc/ringmaster-tls";
const groupMayRead = 0o440;

/** Environment, mount and volume by which a pod gets its certificate; nothing where the run has none. */
export function tlsParts({ tlsSecret }: KubernetesOptions): {
  readonly environment: readonly Part[];
  readonly mounts: readonly Part[];
  readonly volumes: readonly Part[];
} {
  if (tlsSecret === null) return { environment: [], mounts: [], volumes: [] };
  return {
    environment: [
      { name: names.tlsCert, value: `${tlsFolder}/tls.crt` },
      { name: names.tlsKey, value: `${tlsFolder}/tls.key` },
      { name: names.tlsCa, value: `${tlsFolder}/ca.crt` },
    ],
    mounts: [{ name: "tls", mountPath: tlsFolder, readOnly: true }],
    volumes: [{ name: "tls", secret: { secretName: tlsSecret, defaultMode: groupMayRead } }],
  };
}

/** Health and readiness as both programs serve them on the metrics port. */
export const probes: Part = {
  livenessProbe: {
    httpGet: { path: "/healthz", port: "metrics" },
    periodSeconds: 10,
    failureThreshold: 6,
  },
  readinessProbe: { httpGet: { path: "/readyz", port: "metrics" }, periodSeconds: 5 },
};

/** Tells a Prometheus that looks for annotations where the page is. */
export const scrapeAnnotations: Part = {
  "prometheus.io/scrape": "true",
  "prometheus.io/port": String(ports.metrics),
  "prometheus.io/path": "/metrics",
};
