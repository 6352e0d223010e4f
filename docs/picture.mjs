/**
 * `npm run docs:picture [-- FLAGS OF COORDINATOR]`: runs the quick start on a real terminal (tmux), and makes
 * docs/quickstart.svg of what the live view shows after two thirds of the steps. At the end it prints what stays on the
 * terminal.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const session = `ringmaster-picture-${process.pid}`;
const columns = 112;
const rows = 60;
const takenAt = 0.66;
const pollMs = 500;

const font = { size: 13, width: 7.8, line: 18 };
const margin = 16;
const colours = { ground: "#16181d", text: "#d6dae2", soft: "#8b93a3", bar: "#59b368" };

/** @param {string[]} args */
function tmux(...args) {
  return execFileSync("tmux", args, { encoding: "utf8" });
}

/** @param {string} text */
function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * A line as spans: the progress bar and the names before values in colours of their own.
 * @param {string} line
 */
function spansOf(line) {
  // Plain spaces in a row are one in an SVG.
  return escape(line)
    .replace(/━+/gu, (bar) => `<tspan fill="${colours.bar}">${bar}</tspan>`)
    .replace(/^( {2}[a-z]+ +)/u, (name) => `<tspan fill="${colours.soft}">${name}</tspan>`)
    .replace(/^(\$.*)$/u, (command) => `<tspan font-weight="bold">${command}</tspan>`)
    .replaceAll(/ (?![^<]*>)/gu, "\u00A0");
}

/**
 * The screen as a picture.
 * @param {string[]} lines
 */
function svgOf(lines) {
  const longest = Math.max(...lines.map((line) => line.length));
  const width = Math.ceil(longest * font.width + 2 * margin);
  const height = lines.length * font.line + 2 * margin;
  const texts = lines.map((line, index) =>
    line === ""
      ? ""
      : `<text x="${margin}" y="${margin + font.line * (index + 0.75)}" textLength="${(line.length * font.width).toFixed(1)}">${spansOf(line)}</text>\n`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<rect width="100%" height="100%" rx="8" fill="${colours.ground}"/>
<g fill="${colours.text}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${font.size}" xml:space="preserve">
${texts.join("")}</g>
</svg>
`;
}

/** What is on the screen, and whether the program still runs. */
function look() {
  const screen = tmux("capture-pane", "-p", "-t", session).trimEnd().split("\n");
  const isOver = tmux("display-message", "-p", "-t", session, "#{pane_dead}").trim() === "1";
  return { screen, isOver };
}

const flags = process.argv.slice(2);
const command = ["npx", "coordinator", "--workers", "4", ...flags];
tmux("new-session", "-d", "-s", session, "-x", String(columns), "-y", String(rows), "sleep 1");
tmux("set-option", "-t", session, "remain-on-exit", "on");
tmux("respawn-pane", "-k", "-t", session, "-c", root, command.join(" "));
const leave = () => {
  tmux("kill-session", "-t", session);
  process.exit(1);
};
process.once("SIGINT", leave);
process.once("SIGTERM", leave);
let isTaken = false;
try {
  for (;;) {
    const { screen, isOver } = look();
    const [, step = "0", total = "1"] = /step (\d+)\/(\d+) /u.exec(screen.join("\n")) ?? [];
    if (!isTaken && Number(step) / Number(total) >= takenAt) {
      const lines = ["$ npx coordinator --workers 4", ...screen].map((line) => line.trimEnd());
      writeFileSync(join(root, "docs/quickstart.svg"), svgOf(lines));
      isTaken = true;
    }
    if (isOver) {
      console.log(screen.join("\n"));
      break;
    }
    await sleep(pollMs);
  }
} finally {
  tmux("kill-session", "-t", session);
}
if (!isTaken)
  throw new Error("Cannot make the picture: the run ended before the live view was seen");
