/**
 * The manifests of a run as the files of a kustomize folder. `deploy/kubernetes/base` is what this makes of
 * `deploy/jobs/mrpc.yaml`. Pure.
 */
import { Document } from "yaml";
import { coordinatorJob, coordinatorService, outputClaim } from "./coordinator-manifests.ts";
import { checkKubernetesOptions, type KubernetesOptions } from "./kubernetes-options.ts";
import { natsConfigFile, natsService, natsStatefulSet } from "./nats-manifests.ts";
import { networkPolicy } from "./network-policy.ts";
import { labelsOf, secretName, type Part } from "./pod-parts.ts";
import { workerJob, workerService } from "./worker-manifests.ts";

/** One file of the folder. */
export interface ManifestFile {
  readonly name: string;
  readonly text: string;
}

/** The file of secrets beside the manifests: never committed, read by kustomize. */
export const secretsFile = "secrets.env";

const lineWidth = 100;

function fileOf(name: string, remark: string, parts: readonly Part[]): ManifestFile {
  const texts = parts.map((part) => new Document(part, { aliasDuplicateObjects: false }));
  const [first] = texts;
  if (first !== undefined) first.commentBefore = remark.replaceAll(/^/gm, " ");
  return { name, text: texts.map((text) => text.toString({ lineWidth })).join("---\n") };
}

function kustomization(options: KubernetesOptions): Part {
  return {
    apiVersion: "kustomize.config.k8s.io/v1beta1",
    kind: "Kustomization",
    namespace: options.namespace,
    resources: [
      "output.yaml",
      "network-policy.yaml",
      "nats.yaml",
      "coordinator.yaml",
      "workers.yaml",
    ],
    configMapGenerator: [
      { name: `${options.name}-job`, files: ["job.yaml"] },
      { name: `${options.name}-nats`, files: ["nats.conf"] },
    ],
    secretGenerator: [{ name: secretName(options), envs: [secretsFile] }],
    generatorOptions: { labels: labelsOf(options) },
  };
}

/**
 * The files for `kubectl apply -k FOLDER`, all but `secrets.env`.
 * @param jobFile the job file's text, taken as it is
 * Throws BadInput naming the flag of an option that makes no sense.
 */
export function manifestsFor(jobFile: string, options: KubernetesOptions): readonly ManifestFile[] {
  checkKubernetesOptions(options);
  return [
    fileOf(
      "kustomization.yaml",
      `The run ${options.name}: kubectl apply -k on this folder starts it.\n${secretsFile} holds join-token and nats-password; coordinator launch makes it, git never sees it.`,
      [kustomization(options)],
    ),
    { name: "job.yaml", text: jobFile },
    { name: "nats.conf", text: natsConfigFile },
    fileOf("output.yaml", "Checkpoints and the final model.", [outputClaim(options)]),
    fileOf(
      "network-policy.yaml",
      "Only the run's own pods reach each other; metrics are open to the cluster.",
      [networkPolicy(options)],
    ),
    fileOf("nats.yaml", "Commands and events. Training goes on while it is away.", [
      natsService(options),
      natsStatefulSet(options),
    ]),
    fileOf("coordinator.yaml", "Leads the run; starts nothing, waits for the workers.", [
      coordinatorService(options),
      coordinatorJob(options),
    ]),
    fileOf("workers.yaml", "Compute; as many as the coordinator waits for.", [
      workerService(options),
      workerJob(options),
    ]),
  ];
}
