/**
 * NATS in a cluster: one server with a store that outlives its pod, from the same image. Training goes on while it is away,
 * so one is enough. Pure.
 */
import { ports, type KubernetesOptions } from "./kubernetes-options.ts";
import {
  containerSecurity,
  fromSecret,
  labelsOf,
  metadataOf,
  podSecurity,
  programs,
  type Part,
} from "./pod-parts.ts";

const storeSize = "2Gi";
const configFolder = "/etc/nats";
const storeFolder = "/var/lib/nats";

/** The server's configuration; the password comes from its environment. */
export const natsConfigFile = `# nats-server of one run: events are kept in JetStream, nobody comes in without the password.
port: ${ports.nats}
http: ${ports.natsHealth}
jetstream { store_dir: "${storeFolder}", max_memory_store: 64M, max_file_store: 1G }
authorization { user: ringmaster, password: $NATS_PASSWORD }
`;

function container(options: KubernetesOptions): Part {
  return {
    name: "nats",
    image: options.image,
    command: [programs.nats],
    args: ["--config", `${configFolder}/nats.conf`],
    env: [fromSecret("NATS_PASSWORD", "nats-password", options)],
    ports: [
      { name: "nats", containerPort: ports.nats },
      { name: "health", containerPort: ports.natsHealth },
    ],
    livenessProbe: { httpGet: { path: "/healthz?js-server-only=true", port: "health" } },
    readinessProbe: { httpGet: { path: "/healthz", port: "health" }, periodSeconds: 2 },
    resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { memory: "256Mi" } },
    securityContext: { ...containerSecurity, readOnlyRootFilesystem: true },
    volumeMounts: [
      { name: "config", mountPath: configFolder, readOnly: true },
      { name: "store", mountPath: storeFolder },
    ],
  };
}

/** The server. */
export function natsStatefulSet(options: KubernetesOptions): Part {
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: metadataOf(options, "nats"),
    spec: {
      serviceName: `${options.name}-nats`,
      replicas: 1,
      selector: { matchLabels: labelsOf(options, "nats") },
      template: {
        metadata: { labels: labelsOf(options, "nats") },
        spec: {
          ...podSecurity,
          containers: [container(options)],
          volumes: [{ name: "config", configMap: { name: `${options.name}-nats` } }],
        },
      },
      volumeClaimTemplates: [
        {
          metadata: { name: "store" },
          spec: {
            accessModes: ["ReadWriteOnce"],
            resources: { requests: { storage: storeSize } },
          },
        },
      ],
    },
  };
}

/** Its address for coordinator, workers and clients. */
export function natsService(options: KubernetesOptions): Part {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadataOf(options, "nats"),
    spec: {
      selector: labelsOf(options, "nats"),
      ports: [{ name: "nats", port: ports.nats, targetPort: "nats" }],
    },
  };
}
