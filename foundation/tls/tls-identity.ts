/**
 * Mutual TLS between the processes of a run: each shows a certificate, and takes only those that the run's authority has
 * signed. Read and checked once, at the start, so that a wrong file is told before anything else happens.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { BadInput } from "../bad-input.ts";

/** Where certificate, key and authority lie: PEM files. */
export interface TlsFiles {
  /** The own certificate, and behind it those between it and the authority. */
  readonly cert: string;
  /** Its private key, without a passphrase. */
  readonly key: string;
  /** Certificates of the authorities whose certificates are taken. */
  readonly ca: string;
}

/** What a process shows and whom it takes. */
export interface TlsIdentity {
  /** Where it was read. */
  readonly files: TlsFiles;
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer;
}

const flags = { cert: "--tls-cert", key: "--tls-key", ca: "--tls-ca" } as const;
type Part = keyof typeof flags;
const parts: readonly Part[] = ["cert", "key", "ca"];

/** Longest way from a certificate to its authority. */
const chainMax = 8;

/**
 * The three files, or null where none is named. Throws BadInput where only some are.
 * @param named as the user named them; null or empty for none
 */
export function tlsFilesOf(named: Readonly<Record<Part, string | null>>): TlsFiles | null {
  const { cert, key, ca } = named;
  if (!cert && !key && !ca) return null;
  if (cert && key && ca) return { cert, key, ca };
  const missing = parts.filter((part) => !named[part]).map((part) => flags[part]);
  throw new BadInput({
    flag: missing.join(" and "),
    expected: `a file: ${Object.values(flags).join(", ")} are given together or not at all`,
    found: "none",
  });
}

function readPem(part: Part, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new BadInput({ flag: flags[part], file, expected: "a readable file", found });
  }
}

function certificatesOf(part: Part, file: string, pem: Buffer): readonly X509Certificate[] {
  const blocks =
    pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu) ??
    [];
  try {
    if (blocks.length > 0) return blocks.map((block) => new X509Certificate(block));
  } catch {
    // Told below.
  }
  const found = blocks.length === 0 ? "none" : "one that cannot be read";
  throw new BadInput({ flag: flags[part], file, expected: "a certificate in PEM", found });
}

function keyOf(file: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    const isLocked = pem.includes("ENCRYPTED");
    throw new BadInput({
      flag: flags.key,
      file,
      expected: "a private key in PEM, without a passphrase",
      found: isLocked ? "one with a passphrase" : "none",
    });
  }
}

/** Whether the first certificate leads to an authority, over the others. */
function leadsTo(
  authorities: readonly X509Certificate[],
  [own, ...between]: readonly X509Certificate[],
): boolean {
  let current = own;
  for (let length = 0; current !== undefined && length < chainMax; length++) {
    const certificate = current;
    const signs = (issuer: X509Certificate): boolean =>
      certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
    if (authorities.some(signs)) return true;
    current = between.find((issuer) => issuer !== certificate && signs(issuer));
  }
  return false;
}

/**
 * Reads and checks the files. Throws BadInput for one that is missing or no PEM, for a key of another certificate, for a
 * certificate that is out of date, and for one that the authority has not signed.
 */
export function readTlsIdentity(files: TlsFiles, now: Date): TlsIdentity {
  const [cert, key, ca] = [
    readPem("cert", files.cert),
    readPem("key", files.key),
    readPem("ca", files.ca),
  ];
  const chain = certificatesOf("cert", files.cert, cert);
  const authorities = certificatesOf("ca", files.ca, ca);
  const privateKey = keyOf(files.key, key);
  const [own] = chain;
  if (own?.checkPrivateKey(privateKey) !== true) {
    const expected = `the private key of the certificate in ${files.cert}`;
    const found = "the key of another one";
    throw new BadInput({ flag: flags.key, file: files.key, expected, found });
  }
  const [from, to] = [new Date(own.validFrom), new Date(own.validTo)];
  if (now < from || now > to) {
    throw new BadInput({
      flag: flags.cert,
      file: files.cert,
      expected: "a certificate that is valid now",
      found: `one that is valid from ${from.toISOString()} to ${to.toISOString()}`,
    });
  }
  if (!leadsTo(authorities, chain)) {
    throw new BadInput({
      flag: flags.cert,
      file: files.cert,
      expected: `a certificate that the authority in ${files.ca} has signed`,
      found: `one that ${own.issuer.replaceAll("\n", ", ")} has signed`,
    });
  }
  return { files, cert, key, ca };
}

/**
 * Of a connection that is secured by an identity: names in certificates are not looked at, because workers are dialled at
 * addresses that are known only at run time. The authority decides who is one of us, the join token and the ring's key
 * who is who.
 */
export function anyName(): undefined {
  return undefined;
}

/**
 * What TLS has to say of a failed connection, in words; null where it failed for another reason.
 * @param message the error's
 */
export function tlsFailure(message: string): string | null {
  if (/wrong version number|packet length too long/iu.test(message)) return "no TLS";
  const alert = /alert ([a-z ]+?)(?::|$)/iu.exec(message)?.[1];
  if (alert !== undefined) return `the answer "${alert}"`;
  const certificate = /[^:]*certificate[^:(]*/iu.exec(message)?.[0].trim();
  if (certificate !== undefined) return certificate;
  return /SSL routines/u.test(message) ? message.trim() : null;
}
