/**
 * What `coordinator launch --kubernetes` asks for beside the job file: sizes, names, the image. Pure.
 */
import { BadInput } from "../../foundation/bad-input.ts";

/** How a job runs in a cluster. */
export interface KubernetesOptions {
  /** Names every object and the run; a DNS label of at most 40 characters. */
  readonly name: string;
  readonly namespace: string;
  /** The image of deploy/Dockerfile, tag included. */
  readonly image: string;
  readonly workers: number;
  /** Whole cores of one worker; its threads. */
  readonly workerCores: number;
  /** Memory of one worker, as Kubernetes writes it. */
  readonly workerMemory: string;
  readonly coordinatorMemory: string;
  /** Size of the volume that the results go to. */
  readonly outputSize: string;
  /** An existing claim with the data, mounted read-only at /data, where paths of the job file begin; or null. */
  readonly dataClaim: string | null;
  /** An existing Secret with tls.crt, tls.key and ca.crt, as cert-manager makes it, for mutual TLS; or null. */
  readonly tlsSecret: string | null;
  /** `gpu` gives every worker one. */
  readonly device: "cpu" | "gpu";
}

/** Defaults: small enough for a cluster to try it on, right for BERT-base. */
export const kubernetesDefaults: Omit<KubernetesOptions, "name"> = {
  namespace: "ringmaster",
  image: "ringmaster:0.1.0",
  workers: 4,
  workerCores: 4,
  workerMemory: "8Gi",
  coordinatorMemory: "2Gi",
  outputSize: "20Gi",
  dataClaim: null,
  tlsSecret: null,
  device: "cpu",
};

/** Ports within the cluster. */
export const ports = { coordinator: 7077, ring: 7078, metrics: 9464, nats: 4222, natsHealth: 8222 };

const dnsLabel = /^[a-z]([a-z0-9-]*[a-z0-9])?$/;
const nameMax = 40;
const labelMax = 63;
const quantity = /^[1-9][0-9]*(Mi|Gi|Ti)$/;
const imageName = /^[^\s"'\\]{1,512}$/;
const workersMax = 1024;
const coresMax = 1024;

function check(flag: string, found: string | number, holds: boolean, expected: string): void {
  if (!holds) throw new BadInput({ flag, expected, found: String(found) });
}

/** Checks options. Throws BadInput naming the flag. */
export function checkKubernetesOptions(options: KubernetesOptions): void {
  const label = "lower-case letters, digits and `-`, beginning with a letter";
  const size = "a size such as 8Gi";
  const { name, namespace, dataClaim, workers, workerCores } = options;
  check(
    "--name",
    name,
    dnsLabel.test(name) && name.length <= nameMax,
    `at most ${nameMax} ${label}`,
  );
  const isLabel = dnsLabel.test(namespace) && namespace.length <= labelMax;
  check("--namespace", namespace, isLabel, `at most ${labelMax} ${label}`);
  check(
    "--image",
    options.image,
    imageName.test(options.image),
    "an image such as registry/ringmaster:0.1.0",
  );
  const whole = (value: number, max: number): boolean =>
    Number.isInteger(value) && value >= 1 && value <= max;
  check("--workers", workers, whole(workers, workersMax), `a whole number from 1 to ${workersMax}`);
  check(
    "--worker-cores",
    workerCores,
    whole(workerCores, coresMax),
    `a whole number from 1 to ${coresMax}`,
  );
  check("--worker-memory", options.workerMemory, quantity.test(options.workerMemory), size);
  check(
    "--coordinator-memory",
    options.coordinatorMemory,
    quantity.test(options.coordinatorMemory),
    size,
  );
  check("--output-size", options.outputSize, quantity.test(options.outputSize), size);
  if (options.tlsSecret !== null) {
    const isName = dnsLabel.test(options.tlsSecret);
    check("--tls-secret", options.tlsSecret, isName, "the name of a Secret");
  }
  if (dataClaim !== null) {
    check(
      "--data-claim",
      dataClaim,
      dnsLabel.test(dataClaim),
      "the name of a PersistentVolumeClaim",
    );
  }
}
