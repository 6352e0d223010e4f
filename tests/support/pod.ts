/**
 * The containers of generated manifests, made startable here: the same arguments and environment, with the pod's address,
 * secrets and volumes filled in as Kubernetes would.
 */
import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import type { ManifestFile } from "../../coordinator/kubernetes/manifests.ts";

const containerSchema = z.object({
  name: z.string(),
  command: z.array(z.string()),
  args: z.array(z.string()),
  env: z
    .array(
      z.object({
        name: z.string(),
        value: z.string().optional(),
        valueFrom: z
          .union([
            z.object({ secretKeyRef: z.object({ key: z.string() }) }),
            z.object({ fieldRef: z.object({ fieldPath: z.literal("status.podIP") }) }),
          ])
          .optional(),
      }),
    )
    .default([]),
});

const workloadSchema = z.object({
  spec: z.object({
    template: z.object({ spec: z.object({ containers: z.tuple([containerSchema]) }) }),
  }),
});

/** A container of a manifest. */
export type Container = z.infer<typeof containerSchema>;

/** The container of the Job or StatefulSet in one of the files. */
export function containerIn(files: readonly ManifestFile[], name: string): Container {
  const text = files.find((file) => file.name === name)?.text ?? "";
  for (const document of parseAllDocuments(text)) {
    const workload = workloadSchema.safeParse(document.toJS());
    if (workload.success) return workload.data.spec.template.spec.containers[0];
  }
  assert.fail(`no container in ${name}`);
}

/** What Kubernetes knows and the manifest does not. */
export interface PodPlace {
  readonly address: string;
  /** Secrets by key. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Paths of the image and its volumes → paths here. */
  readonly paths: Readonly<Record<string, string>>;
}

function local(text: string, place: PodPlace): string {
  return Object.entries(place.paths).reduce(
    (result, [path, here]) => result.replaceAll(path, here),
    text,
  );
}

/** The environment, `$(NAME)` of earlier variables put in. */
export function environmentOf(container: Container, place: PodPlace): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const { name, value, valueFrom } of container.env) {
    if (valueFrom === undefined) {
      environment[name] = (value ?? "").replaceAll(
        /\$\((\w+)\)/g,
        (whole, earlier: string) => environment[earlier] ?? whole,
      );
    } else if ("secretKeyRef" in valueFrom) {
      const secret = place.secrets[valueFrom.secretKeyRef.key];
      assert.ok(secret !== undefined, `no secret ${valueFrom.secretKeyRef.key}`);
      environment[name] = secret;
    } else {
      environment[name] = place.address;
    }
  }
  return environment;
}

/** The arguments, with paths of this machine. */
export function argumentsOf(container: Container, place: PodPlace): readonly string[] {
  return container.args.map((argument) => local(argument, place));
}
