/** What tells how an e-mail was collected is removed; what its sender wrote stays. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  withoutBodyMarks,
  withoutSubjectMarks,
} from "../../../coordinator/quickstart/collection-marks.ts";

describe("withoutSubjectMarks()", () => {
  const cases = [
    ["[ILUG] fonts", "fonts"],
    ["Re: [ILUG] fonts", "Re: fonts"],
    ["RE: Fwd: [SAtalk] [OT] rules", "RE: Fwd: rules"],
    ["Re[2]: [zzzzteana] Alexander", "Re[2]: Alexander"],
    ["*****SPAM***** Buy now", "Buy now"],
    ["Buy now [6ywab]", "Buy now [6ywab]"],
    ["", ""],
  ] as const;
  for (const [subject, kept] of cases) {
    it(`makes "${kept}" of "${subject}"`, () => assert.equal(withoutSubjectMarks(subject), kept));
  }
});

describe("withoutBodyMarks()", () => {
  const gone = [
    ["a filter's header", "X-Spam-Status: Yes, hits=12"],
    ["a quoted header", "> Received: from mail.example (10.0.0.1)"],
    ["a filter's report", "SPAM: Content analysis details: (12 hits)"],
    [
      "mailman's footer",
      "_______________________________________________\nILUG mailing list\nhttp://www.linux.ie/mailman/listinfo/ilug",
    ],
    [
      "a group's footer",
      "To unsubscribe from this group, send an email to:\nforteana-unsubscribe@egroups.com",
    ],
    [
      "an advertisement of the group's host",
      "------ Yahoo! Groups Sponsor -----~-->\n4 DVDs Free\n---------------~->",
    ],
    [
      "an advertisement of the list's host",
      "This sf.net email is sponsored by: OSDN\nWelcome to geek heaven.",
    ],
    ["a signature of bytes", "-----BEGIN PGP SIGNATURE-----\niD8DBQE\n-----END PGP SIGNATURE-----"],
    ["a gateway's lines", "URL: http://feeds.example/1\nDate: Not supplied"],
  ] as const;
  for (const [what, text] of gone) {
    it(`removes ${what}`, () => assert.equal(withoutBodyMarks(text).trim(), ""));
  }

  it("keeps the sender's own words around them", () => {
    const body = "Hello,\nto be removed from our offers click here.\nX-Mailer: none\nBye";
    assert.equal(withoutBodyMarks(body), "Hello,\nto be removed from our offers click here.\nBye");
  });

  it("hides whom it was sent to", () => {
    assert.equal(withoutBodyMarks("Dear zzzz@spamassassin.taint.org!"), "Dear [address]!");
  });
});
