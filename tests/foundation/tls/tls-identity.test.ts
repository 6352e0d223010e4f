import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import {
  tlsFailure,
  readTlsIdentity,
  tlsFilesOf,
  type TlsFiles,
} from "../../../foundation/tls/tls-identity.ts";
import { makeAuthority, skipTls } from "../../support/certificates.ts";

function refused(action: () => unknown, flag: string, message: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof BadInput);
    assert.equal(error.place.flag, flag);
    assert.match(error.message, message);
    return true;
  });
}

describe("tlsFilesOf", () => {
  it("takes all three files or none", () => {
    assert.equal(tlsFilesOf({ cert: null, key: "", ca: null }), null);
    const all = { cert: "a", key: "b", ca: "c" };
    assert.deepEqual(tlsFilesOf(all), all);
    refused(() => tlsFilesOf({ ...all, key: null }), "--tls-key", /given together or not at all/);
    refused(
      () => tlsFilesOf({ cert: "a", key: null, ca: "" }),
      "--tls-key and --tls-ca",
      /found none/,
    );
  });
});

describe("readTlsIdentity", { skip: skipTls }, () => {
  const folder = mkdtempSync(join(tmpdir(), "ringmaster-tls-"));
  after(() => rmSync(folder, { recursive: true }));
  const setUp = (() => {
    const authority = makeAuthority(folder, "ours");
    const other = makeAuthority(folder, "theirs");
    return { authority, other, own: authority.issue("one") };
  })();
  const read = (changes: Partial<TlsFiles>, daysFromNow = 0) => {
    const at = new Date(Date.now() + daysFromNow * 86_400_000);
    return readTlsIdentity({ ...setUp.own, ...changes }, at);
  };
  const written = (name: string, text: string): string => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  };

  it("reads what belongs together", () => {
    const identity = read({});
    assert.deepEqual(identity.files, setUp.own);
    assert.ok(identity.cert.equals(readFileSync(setUp.own.cert)));
    assert.ok(identity.key.equals(readFileSync(setUp.own.key)));
    assert.ok(identity.ca.equals(readFileSync(setUp.authority.ca)));
  });
  it("follows a chain to the authority, and takes several authorities", () => {
    const between = setUp.authority.issueAuthority("between");
    const leaf = between.issue("leaf");
    const chain = written(
      "chain.pem",
      readFileSync(leaf.cert, "utf8") + readFileSync(between.ca, "utf8"),
    );
    const both = written(
      "both.pem",
      readFileSync(setUp.other.ca, "utf8") + readFileSync(setUp.authority.ca, "utf8"),
    );
    read({ cert: chain, key: leaf.key });
    read({ cert: chain, key: leaf.key, ca: both });
    refused(
      () => read({ cert: leaf.cert, key: leaf.key }),
      "--tls-cert",
      /ours\.crt has signed, found one that CN=ours-between has signed/,
    );
  });
  it("names the file that is missing or no PEM", () => {
    for (const [part, flag] of [
      ["cert", "--tls-cert"],
      ["key", "--tls-key"],
      ["ca", "--tls-ca"],
    ] as const) {
      const missing = join(folder, "nothing");
      refused(() => read({ [part]: missing }), flag, /nothing: expected a readable file.*ENOENT/);
      const text = written("text", "not a certificate\n");
      refused(() => read({ [part]: text }), flag, /text: expected a .* in PEM.*, found none/);
    }
    const broken = written(
      "broken",
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    refused(() => read({ cert: broken }), "--tls-cert", /found one that cannot be read/);
  });
  it("refuses a key with a passphrase, and the key of another certificate", () => {
    const locked = join(folder, "locked.key");
    const args = ["pkcs8", "-topk8", "-in", setUp.own.key, "-out", locked, "-passout", "pass:x"];
    execFileSync("openssl", args, { stdio: "ignore" });
    refused(() => read({ key: locked }), "--tls-key", /found one with a passphrase/);
    const { key } = setUp.authority.issue("two");
    refused(() => read({ key }), "--tls-key", /of the certificate in .*one\.crt, found the key of/);
  });
  it("refuses a certificate of another authority, and one that is out of date", () => {
    refused(() => read({ ca: setUp.other.ca }), "--tls-cert", /authority in .*theirs\.crt has/);
    refused(() => read({}, 3), "--tls-cert", /valid now, found one that is valid from .* to /);
    refused(() => read({}, -1), "--tls-cert", /valid now/);
  });
});

describe("tlsFailure", () => {
  it("tells a refused certificate from an unreachable machine", () => {
    const rows: [message: string, told: string | null][] = [
      [
        "No connection established. Last error: Error: self-signed certificate in certificate chain (2026-11-24T20:32:07.045Z)",
        "self-signed certificate in certificate chain",
      ],
      ["unable to verify the first certificate", "unable to verify the first certificate"],
      [
        "80:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../rec.c:1600:SSL alert number 116",
        'the answer "certificate required"',
      ],
      [
        "80:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl3_record.c:350:",
        "no TLS",
      ],
      ["connect ECONNREFUSED 127.0.0.1:7077", null],
      ["read ECONNRESET", null],
    ];
    for (const [message, told] of rows) assert.equal(tlsFailure(message), told);
  });
});
