/** The manifests: what the generator makes, that it is valid, and that it says the same on both ends of every wire. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import {
  kubernetesDefaults,
  type KubernetesOptions,
} from "../../coordinator/kubernetes/kubernetes-options.ts";
import { manifestsFor } from "../../coordinator/kubernetes/manifests.ts";
import { writeKubernetesManifests } from "../../coordinator/kubernetes/write-manifests.ts";
import { BadInput } from "../../foundation/bad-input.ts";
import { skipWithout } from "../support/needed-tool.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const base = join(root, "deploy/kubernetes/base");
const mrpc = join(root, "deploy/jobs/mrpc.yaml");
const options: KubernetesOptions = { ...kubernetesDefaults, name: "mrpc" };
const gpuOptions: KubernetesOptions = { ...options, device: "gpu", dataClaim: "texts", workers: 2 };

function validate(folders: readonly string[]): { status: number | null; output: string } {
  const ran = spawnSync("bash", [join(root, "deploy/validate.sh"), ...folders], {
    encoding: "utf8",
  });
  return { status: ran.status, output: ran.stdout + ran.stderr };
}

async function written(t: TestContext, kubernetes: KubernetesOptions): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ringmaster-kubernetes-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeKubernetesManifests({ jobFile: mrpc, folder, kubernetes });
  return folder;
}

const objectSchema = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }).optional(),
});

/** Every object of the generated files by kind and name. */
function objectsOf(kubernetes: KubernetesOptions): ReadonlyMap<string, string> {
  const objects = manifestsFor("model: m\n", kubernetes)
    .filter(({ name }) => name.endsWith(".yaml") && name !== "job.yaml")
    .flatMap(({ text }) => parseAllDocuments(text))
    .map((document) => objectSchema.parse(document.toJS()));
  return new Map(
    objects.map((object) => [
      `${object.kind}/${object.metadata?.name ?? ""}`,
      JSON.stringify(object),
    ]),
  );
}

describe("kubernetes manifests", () => {
  it("the base is what the generator makes of deploy/jobs/mrpc.yaml (RINGMASTER_WRITE_BASE=1 writes it)", async () => {
    const files = manifestsFor(await readFile(mrpc, "utf8"), options);
    if (process.env["RINGMASTER_WRITE_BASE"] === "1") {
      await mkdir(base, { recursive: true });
      for (const { name, text } of files) await writeFile(join(base, name), text);
      await writeFile(join(base, ".gitignore"), "secrets.env\n");
    }
    const names = (await readdir(base)).filter((name) => name !== "secrets.env");
    assert.deepEqual(names.sort(), [".gitignore", ...files.map(({ name }) => name)].sort());
    for (const { name, text } of files) {
      assert.equal(await readFile(join(base, name), "utf8"), text, name);
    }
  });

  it("has every object once, and both ends of each wire name the same", () => {
    const objects = objectsOf(options);
    assert.deepEqual([...objects.keys()].sort(), [
      "Job/mrpc-coordinator",
      "Job/mrpc-worker",
      "Kustomization/",
      "NetworkPolicy/mrpc",
      "PersistentVolumeClaim/mrpc-output",
      "Service/mrpc-coordinator",
      "Service/mrpc-nats",
      "Service/mrpc-worker",
      "StatefulSet/mrpc-nats",
    ]);
    const [coordinator = "", workers = ""] = [
      objects.get("Job/mrpc-coordinator"),
      objects.get("Job/mrpc-worker"),
    ];
    assert.match(coordinator, /"--workers=4"/);
    assert.match(workers, /"completionMode":"Indexed","completions":4,"parallelism":4/);
    assert.match(workers, /"RINGMASTER_COORDINATOR","value":"mrpc-coordinator:7077"/);
    assert.match(coordinator, /"--listen=0.0.0.0:7077"/);
    assert.match(coordinator, /"--run-name=mrpc"/);
    assert.match(workers, /"RINGMASTER_RUN","value":"mrpc"/);
    assert.match(coordinator, /nats:\/\/ringmaster:\$\(NATS_PASSWORD\)@mrpc-nats:4222/);
    // Only a variable that is declared before can be used by another one.
    assert.ok(
      coordinator.indexOf(`"name":"NATS_PASSWORD"`) < coordinator.indexOf("$(NATS_PASSWORD)"),
    );
    for (const job of [coordinator, workers]) assert.match(job, /"runAsNonRoot":true/);
    assert.match(objects.get("Service/mrpc-worker") ?? "", /"clusterIP":"None"/);
  });

  it("gives each worker a GPU and the data when asked to", () => {
    const objects = objectsOf(gpuOptions);
    assert.match(objects.get("Job/mrpc-worker") ?? "", /"nvidia.com\/gpu":1/);
    assert.match(objects.get("Job/mrpc-coordinator") ?? "", /"claimName":"texts","readOnly":true/);
    assert.match(objects.get("Job/mrpc-coordinator") ?? "", /"--device=gpu"/);
  });

  it("gives both parties certificates out of a Secret when asked to, and none otherwise", () => {
    const objects = objectsOf({ ...options, tlsSecret: "mrpc-tls" });
    for (const name of ["Job/mrpc-coordinator", "Job/mrpc-worker"]) {
      const job = objects.get(name) ?? "";
      assert.match(job, /"RINGMASTER_TLS_CERT","value":"\/etc\/ringmaster-tls\/tls.crt"/);
      assert.match(job, /"RINGMASTER_TLS_KEY","value":"\/etc\/ringmaster-tls\/tls.key"/);
      assert.match(job, /"RINGMASTER_TLS_CA","value":"\/etc\/ringmaster-tls\/ca.crt"/);
      assert.match(job, /"name":"tls","mountPath":"\/etc\/ringmaster-tls","readOnly":true/);
      assert.match(job, /"secretName":"mrpc-tls","defaultMode":288/);
      assert.doesNotMatch(objectsOf(options).get(name) ?? "", /TLS|ringmaster-tls/);
    }
  });

  it("writes a folder with secrets that only the user can read, and never over something", async (t) => {
    const folder = await written(t, options);
    const secrets = join(folder, "secrets.env");
    assert.equal((await stat(secrets)).mode & 0o777, 0o600);
    assert.match(await readFile(secrets, "utf8"), /^join-token=s\w{64}\nnats-password=s\w{64}\n$/);
    assert.equal(await readFile(join(folder, ".gitignore"), "utf8"), "secrets.env\n");
    await assert.rejects(
      writeKubernetesManifests({ jobFile: mrpc, folder, kubernetes: options }),
      /--output-dir, .*: expected an empty folder/,
    );
  });

  it("refuses options that make no sense, naming the flag, before anything is written", async () => {
    const rows: [flag: string, wrong: Partial<KubernetesOptions>][] = [
      ["--name", { name: "MRPC" }],
      ["--name", { name: "m".repeat(41) }],
      ["--namespace", { namespace: "a b" }],
      ["--image", { image: "" }],
      ["--workers", { workers: 0 }],
      ["--workers", { workers: 1.5 }],
      ["--worker-cores", { workerCores: -1 }],
      ["--worker-memory", { workerMemory: "8 GB" }],
      ["--coordinator-memory", { coordinatorMemory: "lots" }],
      ["--output-size", { outputSize: "0Gi" }],
      ["--data-claim", { dataClaim: "no/path" }],
      ["--tls-secret", { tlsSecret: "Not a name" }],
    ];
    const folder = join(tmpdir(), "ringmaster-kubernetes-none");
    for (const [flag, wrong] of rows) {
      const kubernetes = { ...options, ...wrong };
      await assert.rejects(
        writeKubernetesManifests({ jobFile: mrpc, folder, kubernetes }),
        (error) => error instanceof BadInput && error.place.flag === flag,
        flag,
      );
      await assert.rejects(stat(folder), { code: "ENOENT" });
    }
  });
});

const toolsMissing = validate(["/nonexistent"]).status === 3;

describe("validators", { skip: skipWithout(!toolsMissing, "deploy/validate.sh --install") }, () => {
  it("find the Dockerfile, the base and a generated folder valid", async (t) => {
    const { status, output } = validate([base, await written(t, gpuOptions)]);
    assert.equal(status, 0, output);
  });

  it("find a manifest invalid that has a field too many", async (t) => {
    const folder = await written(t, options);
    const file = join(folder, "output.yaml");
    await writeFile(file, (await readFile(file, "utf8")).replace("accessModes:", "acessModes:"));
    const { status, output } = validate([folder]);
    assert.equal(status, 1);
    assert.match(output, /acessModes/);
  });
});
