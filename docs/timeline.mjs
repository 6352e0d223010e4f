/**
 * `npm run docs:timeline -- RUN/profile [STEP]`: makes docs/timeline.svg of one step of a profile, all workers under each
 * other, as ui.perfetto.dev shows them: what `coordinator --profile` has written, drawn as it is. Default: the first step.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const width = 1200;
const labelWidth = 96;
const row = { height: 17, gap: 3 };
const microsPerMs = 1000;
/** Narrower ones cannot be seen. */
const pixelsMin = 0.3;
/** Letters of a label, in pixels. */
const letterWidth = 6.2;

const colours = {
  ground: "#ffffff",
  text: "#1f2430",
  soft: "#6b7280",
  data: "#c9ced8",
  compute: "#dbe7f7",
  exchange: "#f2a65a",
  "wait for commit": "#d9cfe8",
  update: "#7fbf7b",
  "hash gradients": "#e7a1b0",
  collective: "#d97b29",
  engine: "#5b8fd6",
  input: "#e4c441",
  product: "#2f5fa8",
  attention: "#8a63b8",
  otherOp: "#7fb6c4",
};

/**
 * @typedef {{ ph: string, name: string, cat: string, pid: number, tid: number, ts: number, dur: number,
 *   args?: Record<string, string | number> }} TraceEvent
 */

/** @param {string} text */
function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** @param {TraceEvent} event */
function colourOf({ name, cat, args }) {
  if (cat === "ops") {
    if (/^Ringmaster(Packed)?Attention/u.test(name)) return colours.attention;
    if (name === "RingmasterAdamW") return colours.update;
    return args?.["flops"] === undefined ? colours.otherOp : colours.product;
  }
  if (cat === "input") return colours.input;
  if (cat === "engine") return name === "update" ? colours.update : colours.engine;
  return Object.entries(colours).find(([known]) => known === name)?.[1] ?? colours.collective;
}

/**
 * What a row shows: the step's own activities on the main thread, and what lies within them as a row of its own.
 * @param {TraceEvent} event
 */
function rowOf({ cat, name, tid }) {
  const activities = ["data", "compute", "exchange", "wait for commit", "update"];
  if (cat === "main") {
    if (/^round \d/u.test(name)) return null;
    return activities.includes(name) ? "main" : "main ";
  }
  return cat === "ops" ? `ops ${tid}` : cat;
}

/** @param {string} folder @param {string | undefined} wanted */
function stepOf(folder, wanted) {
  const files = readdirSync(folder).filter((file) => /^rank-\d+\.json$/u.test(file));
  const workers = files.sort().map((file) => {
    /** @type {{ traceEvents: TraceEvent[] }} */
    const trace = JSON.parse(readFileSync(join(folder, file), "utf8"));
    const events = trace.traceEvents.filter(({ ph }) => ph === "X");
    const steps = events.filter(({ cat }) => cat === "step");
    const step = steps.find(({ name }) => name === `step ${wanted}`) ?? steps[0];
    if (step === undefined) throw new Error(`Cannot draw ${file}: it holds no step`);
    const end = step.ts + step.dur;
    return { step, events: events.filter(({ ts, dur }) => ts < end && ts + dur > step.ts) };
  });
  return workers;
}

const [folder, wanted] = process.argv.slice(2);
if (folder === undefined) throw new Error("Cannot draw without a folder: give RUN/profile");
const workers = stepOf(folder, wanted);
const from = Math.min(...workers.map(({ step }) => step.ts));
const until = Math.max(...workers.map(({ step }) => step.ts + step.dur));
const scale = (width - labelWidth - 8) / (until - from);

/** @type {string[]} */
const parts = [];
let y = 8;

/** @param {number} at @param {string} text @param {string} fill @param {string} more */
function write(at, text, fill, more = "") {
  parts.push(
    `<text x="${at.toFixed(1)}" y="${y + 12}" fill="${fill}"${more}>${escape(text)}</text>`,
  );
}

/** @param {TraceEvent} event */
function draw(event) {
  const start = Math.max(event.ts, from);
  const x = labelWidth + (start - from) * scale;
  const length = (Math.min(event.ts + event.dur, until) - start) * scale;
  if (length < pixelsMin) return;
  const tip = [event.name, event.args?.["detail"], `${(event.dur / microsPerMs).toFixed(2)} ms`];
  const title =
    event.cat === "ops" ? "" : `<title>${escape(tip.filter(Boolean).join(", "))}</title>`;
  const tag = `<rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(length - 0.2, 0.3).toFixed(1)}" height="${row.height}" fill="${colourOf(event)}"`;
  parts.push(title === "" ? `${tag}/>` : `${tag}>${title}</rect>`);
  const label = event.cat === "input" ? "" : event.name;
  if (label.length * letterWidth < length && event.cat !== "ops") {
    write(x + 3, label, ["engine"].includes(event.cat) ? "#ffffff" : colours.text);
  }
}

for (const { step, events } of workers) {
  const took = `${(step.dur / microsPerMs).toFixed(0)} ms`;
  write(2, `rank ${step.pid}, ${step.name}: ${took}`, colours.text, ' font-weight="bold"');
  y += row.height + row.gap;
  const names = [
    "main",
    "main ",
    "engine",
    ...new Set(events.flatMap((event) => (event.cat === "ops" ? [rowOf(event)] : []))),
    "input",
  ];
  for (const name of names) {
    const label =
      name === "main "
        ? ""
        : (name ?? "").replace(/^ops 1(\d)$/u, (_, lane) => `ops, lane ${Number(lane) + 1}`);
    write(2, label, colours.soft);
    for (const event of events) if (rowOf(event) === name) draw(event);
    y += row.height + row.gap;
  }
  y += 8;
}

const step = 10 ** Math.floor(Math.log10((until - from) / microsPerMs / 4));
const spacing =
  [1, 2, 5, 10]
    .map((factor) => factor * step)
    .find((ms) => (until - from) / microsPerMs / ms <= 10) ?? step;
for (let ms = 0; ms * microsPerMs <= until - from; ms += spacing) {
  const x = labelWidth + ms * microsPerMs * scale;
  parts.push(`<path d="M${x.toFixed(1)} 8V${y}" stroke="#000" stroke-opacity="0.08"/>`);
  write(x + 2, `${ms} ms`, colours.soft);
}
y += row.height + row.gap;

const legend = /** @type {const} */ ([
  ["matrix products", colours.product],
  ["attention", colours.attention],
  ["other ops", colours.otherOp],
  ["update", colours.update],
  ["exchange", colours.exchange],
  ["collectives", colours.collective],
  ["hashes", colours["hash gradients"]],
  ["waiting for the commit", colours["wait for commit"]],
]);
let x = labelWidth;
for (const [text, colour] of legend) {
  parts.push(`<rect x="${x}" y="${y + 2}" width="12" height="12" fill="${colour}"/>`);
  write(x + 16, text, colours.text);
  x += 34 + text.length * letterWidth;
}
y += row.height + row.gap;

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}">
<rect width="100%" height="100%" fill="${colours.ground}"/>
<g font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="11">
${parts.join("\n")}
</g>
</svg>
`;
writeFileSync(join(root, "docs/timeline.svg"), svg);
console.log(`docs/timeline.svg: ${(svg.length / 1024).toFixed(0)} KiB`);
