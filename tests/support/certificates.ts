/** Authorities and certificates for tests, made by openssl when they are needed. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TlsFiles } from "../../foundation/tls/tls-identity.ts";
import { skipWithout, works } from "./needed-tool.ts";

/** The `skip` option of tests that need certificates. */
export const skipTls = skipWithout(works("openssl", ["version"]), "openssl");

/** Signs certificates. */
export interface Authority {
  /** Its certificate. */
  readonly ca: string;
  /** Makes a key and a certificate of it; valid for a day, or for as many as are said. */
  issue(name: string, days?: number): TlsFiles;
  /** An authority that this one has signed. */
  issueAuthority(name: string): Authority;
}

function openssl(args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function request(folder: string, name: string): { readonly key: string; readonly csr: string } {
  const key = join(folder, `${name}.key`);
  const csr = join(folder, `${name}.csr`);
  openssl(["req", ...newKey, "-keyout", key, "-out", csr, "-subj", `/CN=${name}`]);
  return { key, csr };
}

function authorityOf(folder: string, name: string, key: string, ca: string): Authority {
  const sign = (csr: string, cert: string, extensions: string, days: number): void => {
    const extensionFile = `${csr}.ext`;
    writeFileSync(extensionFile, extensions);
    // A serial number for each, for openssl would otherwise write a file of them beside the authority.
    const serial = ["-set_serial", String(Math.floor(Math.random() * 2 ** 40))];
    const by = ["-CA", ca, "-CAkey", key, ...serial, "-days", String(days)];
    openssl(["x509", "-req", "-in", csr, "-out", cert, "-extfile", extensionFile, ...by]);
  };
  return {
    ca,
    issue(own, days = 1) {
      const made = request(folder, `${name}-${own}`);
      const cert = join(folder, `${name}-${own}.crt`);
      sign(made.csr, cert, "basicConstraints=critical,CA:false\n", days);
      return { cert, key: made.key, ca };
    },
    issueAuthority(own) {
      const made = request(folder, `${name}-${own}`);
      const cert = join(folder, `${name}-${own}.crt`);
      sign(made.csr, cert, "basicConstraints=critical,CA:true\n", 1);
      return authorityOf(folder, own, made.key, cert);
    },
  };
}

/** Makes an authority in a folder. */
export function makeAuthority(folder: string, name: string): Authority {
  const key = join(folder, `${name}.key`);
  const ca = join(folder, `${name}.crt`);
  const subject = ["-subj", `/CN=${name}`, "-days", "1"];
  openssl(["req", "-x509", ...newKey, "-keyout", key, "-out", ca, ...subject]);
  return authorityOf(folder, name, key, ca);
}
