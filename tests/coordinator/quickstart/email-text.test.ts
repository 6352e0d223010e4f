/** Reading e-mails as they came over the wire. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readEmail } from "../../../coordinator/quickstart/email-text.ts";
import { htmlText } from "../../../coordinator/quickstart/html-text.ts";

function raw(...lines: string[]): Buffer {
  return Buffer.from(lines.join("\r\n"), "latin1");
}

describe("readEmail()", () => {
  it("decodes quoted-printable and the character set, of headers too", async () => {
    const email = await readEmail(
      raw(
        "From: a@example.org",
        "X-Spam-Flag: YES",
        "Subject: =?iso-8859-1?Q?caf=E9?=",
        "Content-Type: text/plain; charset=iso-8859-1",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "Un caf=E9 au lait, s'il vous pla=",
        "=EEt, et deux croissants.",
      ),
    );
    const body = "Un café au lait, s'il vous plaît, et deux croissants.";
    assert.deepEqual(email, { subject: "café", body });
  });

  it("decodes base64, and takes the words out of HTML", async () => {
    const html =
      "<html><head><title>t</title><style>p{}</style></head><p>Buy&nbsp;<b>n</b>ow &amp; save!</p>";
    const email = await readEmail(
      raw(
        "Subject: offer",
        "Content-Type: text/html",
        "Content-Transfer-Encoding: base64",
        "",
        Buffer.from(html).toString("base64"),
      ),
    );
    assert.equal(email.body, "Buy now & save!");
  });

  it("prefers the plain part of two", async () => {
    const email = await readEmail(
      raw(
        "Subject: both",
        'Content-Type: multipart/alternative; boundary="x"',
        "",
        "--x",
        "Content-Type: text/html",
        "",
        "<p>The rich one of the two parts</p>",
        "--x",
        "Content-Type: text/plain",
        "",
        "The plain one of the two parts",
        "--x--",
      ),
    );
    assert.equal(email.body, "The plain one of the two parts");
  });

  it("reads windows-1252's quotes the same on every Node version, and drops controls", async () => {
    const email = await readEmail(
      raw(
        "Content-Type: text/plain; charset=windows-1252",
        "",
        "It\x92s \x93here\x94 \x01\x85 and now it is long enough",
      ),
    );
    assert.equal(email.body, "It’s “here” … and now it is long enough");
  });

  it("cuts very long bodies, never within a character", async () => {
    const text = `a${"😀".repeat(3000)}`;
    const email = await readEmail(
      Buffer.from(`Content-Type: text/plain; charset=utf-8\n\n${text}`),
    );
    assert.equal(email.body, text.slice(0, 3999));
  });
});

describe("htmlText()", () => {
  it("leaves out scripts, tolerates broken markup, joins split words", () => {
    assert.equal(
      htmlText("<script>alert(1)</script>mon<b>ey</b><br>ba<!-- x -->ck<td>cell"),
      "\n\nmoney\n\nback\ncell\n",
    );
  });
});
