/**
 * The coordinator in a cluster: a Job that starts no workers but waits for them, a Service by which they find it, and the
 * volume that the results go to. Pure.
 */
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

/** Time to finish the step and write a checkpoint after SIGTERM, in seconds. */
const graceSeconds = 300;
/** A Job that is done is kept for a day, for its log. */
const keepSeconds = 86_400;

/** Where the volumes are mounted. */
export const folders = { job: "/etc/ringmaster", output: "/output", data: "/data" };

/** The coordinator's arguments. Flags win over the job file, so that the file needs no word about the cluster. */
export function coordinatorArguments(options: KubernetesOptions): readonly string[] {
  return [
    programs.coordinator,
    "train",
    `${folders.job}/job.yaml`,
    "--no-spawn-workers",
    `--workers=${options.workers}`,
    `--threads-per-worker=${options.workerCores}`,
    `--listen=0.0.0.0:${ports.coordinator}`,
    `--metrics-listen=0.0.0.0:${ports.metrics}`,
    `--output-dir=${folders.output}/${options.name}`,
    `--run-name=${options.name}`,
    `--device=${options.device}`,
  ];
}

/** The coordinator's environment; secrets come this way, never as arguments. */
export function coordinatorEnvironment(options: KubernetesOptions): readonly Part[] {
  return [
    fromSecret("RINGMASTER_JOIN_TOKEN", "join-token", options),
    fromSecret("NATS_PASSWORD", "nats-password", options),
    {
      name: "RINGMASTER_NATS",
      value: `nats://ringmaster:$(NATS_PASSWORD)@${options.name}-nats:${ports.nats}`,
    },
    ...tlsParts(options).environment,
  ];
}

function container(options: KubernetesOptions): Part {
  const dataMount = { name: "data", mountPath: folders.data, readOnly: true };
  return {
    name: "coordinator",
    image: options.image,
    command: ["/usr/bin/tini", "--", "node"],
    args: coordinatorArguments(options),
    workingDir: options.dataClaim === null ? folders.output : folders.data,
    env: coordinatorEnvironment(options),
    ports: [
      { name: "grpc", containerPort: ports.coordinator },
      { name: "metrics", containerPort: ports.metrics },
    ],
    ...probes,
    resources: {
      requests: { cpu: "1", memory: options.coordinatorMemory },
      limits: { memory: options.coordinatorMemory },
    },
    securityContext: containerSecurity,
    volumeMounts: [
      { name: "job", mountPath: folders.job, readOnly: true },
      { name: "output", mountPath: folders.output },
      ...(options.dataClaim === null ? [] : [dataMount]),
      ...tlsParts(options).mounts,
    ],
  };
}

/** The Job. It is not repeated by itself: a run that failed is resumed on purpose, from its last checkpoint. */
export function coordinatorJob(options: KubernetesOptions): Part {
  const volumes = [
    { name: "job", configMap: { name: `${options.name}-job` } },
    { name: "output", persistentVolumeClaim: { claimName: `${options.name}-output` } },
    ...(options.dataClaim === null
      ? []
      : [
          { name: "data", persistentVolumeClaim: { claimName: options.dataClaim, readOnly: true } },
        ]),
    ...tlsParts(options).volumes,
  ];
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: metadataOf(options, "coordinator"),
    spec: {
      backoffLimit: 0,
      ttlSecondsAfterFinished: keepSeconds,
      template: {
        metadata: { labels: labelsOf(options, "coordinator"), annotations: scrapeAnnotations },
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: graceSeconds,
          ...podSecurity,
          containers: [container(options)],
          volumes,
        },
      },
    },
  };
}

/** The Service. Workers join before the coordinator counts as ready, so that its address is published from the start. */
export function coordinatorService(options: KubernetesOptions): Part {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadataOf(options, "coordinator"),
    spec: {
      publishNotReadyAddresses: true,
      selector: labelsOf(options, "coordinator"),
      ports: [
        { name: "grpc", port: ports.coordinator, targetPort: "grpc", appProtocol: "grpc" },
        { name: "metrics", port: ports.metrics, targetPort: "metrics" },
      ],
    },
  };
}

/** The volume for checkpoints and the final model. */
export function outputClaim(options: KubernetesOptions): Part {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: `${options.name}-output`, labels: labelsOf(options) },
    spec: {
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: options.outputSize } },
    },
  };
}
