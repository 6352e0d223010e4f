/**
 * The workers in a cluster: an Indexed Job of N pods, and a headless Service that lists them by name for whoever scrapes
 * them. Neighbours dial each other by pod address, which is known before any name is. Pure.
 */
import {
  allocatorEnvironment,
  workerEnvironment as names,
  workerNodeFlags,
} from "../../proto/environment.ts";
import { ports, type KubernetesOptions } from "./kubernetes-options.ts";
import {
  containerSecurity,
  fromSecret,
  labelsOf,
  metadataOf,
  podSecurity,
  probes,
  programs,
  scrapeAnnotations,
  tlsParts,
  type Part,
} from "./pod-parts.ts";

const graceSeconds = 60;
const keepSeconds = 86_400;
/** Memory that TensorFlow and the ring may share among processes of a pod. */
const sharedMemory = "1Gi";

/** A worker's arguments. */
export function workerArguments(): readonly string[] {
  return [...workerNodeFlags, programs.worker, `--listen=0.0.0.0:${ports.ring}`];
}

/** A worker's environment. */
export function workerEnvironmentOf(options: KubernetesOptions): readonly Part[] {
  return [
    fromSecret(names.joinToken, "join-token", options),
    { name: names.coordinator, value: `${options.name}-coordinator:${ports.coordinator}` },
    { name: names.run, value: options.name },
    { name: names.advertiseHost, valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    { name: names.metricsListen, value: `0.0.0.0:${ports.metrics}` },
    { name: names.device, value: options.device },
    ...Object.entries(allocatorEnvironment).map(([name, value]) => ({ name, value })),
    ...tlsParts(options).environment,
  ];
}

function container(options: KubernetesOptions): Part {
  const gpu = options.device === "gpu" ? { "nvidia.com/gpu": 1 } : {};
  const share = { cpu: String(options.workerCores), memory: options.workerMemory };
  return {
    name: "worker",
    image: options.image,
    command: ["/usr/bin/tini", "--", "node"],
    args: workerArguments(),
    env: workerEnvironmentOf(options),
    ports: [
      { name: "ring", containerPort: ports.ring },
      { name: "metrics", containerPort: ports.metrics },
    ],
    ...probes,
    resources: { requests: share, limits: { ...share, ...gpu } },
    securityContext: containerSecurity,
    volumeMounts: [{ name: "shared-memory", mountPath: "/dev/shm" }, ...tlsParts(options).mounts],
  };
}

/** The Indexed Job: all N at once, each index once. */
export function workerJob(options: KubernetesOptions): Part {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: metadataOf(options, "worker"),
    spec: {
      completionMode: "Indexed",
      completions: options.workers,
      parallelism: options.workers,
      backoffLimit: 0,
      ttlSecondsAfterFinished: keepSeconds,
      template: {
        metadata: { labels: labelsOf(options, "worker"), annotations: scrapeAnnotations },
        spec: {
          restartPolicy: "Never",
          subdomain: `${options.name}-worker`,
          terminationGracePeriodSeconds: graceSeconds,
          ...podSecurity,
          containers: [container(options)],
          volumes: [
            { name: "shared-memory", emptyDir: { medium: "Memory", sizeLimit: sharedMemory } },
            ...tlsParts(options).volumes,
          ],
        },
      },
    },
  };
}

/** The headless Service: `<name>-worker-<index>.<name>-worker` names a pod. */
export function workerService(options: KubernetesOptions): Part {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadataOf(options, "worker"),
    spec: {
      clusterIP: "None",
      publishNotReadyAddresses: true,
      selector: labelsOf(options, "worker"),
      ports: [
        { name: "ring", port: ports.ring, targetPort: "ring", appProtocol: "grpc" },
        { name: "metrics", port: ports.metrics, targetPort: "metrics" },
      ],
    },
  };
}
