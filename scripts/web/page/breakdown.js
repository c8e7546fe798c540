// What used the windows: documents in, elements out.

import { bar, make } from "./dom.js";
import * as say from "./format.js";

const MAX_ROWS = 8;
const MAX_TONES = 5;

// The key of the turns in which Codex makes titles of threads.
const TITLES = "thread_title";

// The use by day, by thread, by project where one is known, and by model.
export function used(byThread, byModel, byProject, byDay) {
  const tones = modelTones(byModel);
  return [
    byDay ? dayBlock(byDay, tones) : null,
    make(
      "div",
      { class: "used-by" },
      block("By thread", byThread, "unknown thread"),
      byProject.rows.some((row) => row.key !== null) ? block("By project", byProject, "no project known") : null,
      block("By model", byModel, "unknown model", tones),
    ),
  ];
}

// A tone for each model, the most used first; the last one is that of all others.
function modelTones(byModel) {
  const models = byModel.rows.filter((row) => !row.elsewhere && !row.pending).map((row) => row.key);
  return new Map(models.map((model, place) => [model, Math.min(place, MAX_TONES - 1)]));
}

// A column for each day, stacked by model.
function dayBlock(document, tones) {
  const rows = document.rows.filter((row) => row.start !== null);
  const loose = document.rows.filter((row) => row.start === null).reduce((sum, row) => sum + row.points, 0);
  const most = Math.max(...rows.map((row) => row.points), 0);
  if (!most) return null;
  const unit = unitOf(document);
  const days = rows.toSorted((one, other) => one.start - other.start);
  return make(
    "section",
    { class: "panel" },
    make("h3", {}, "By day"),
    make("p", { class: "quiet" }, `The highest day used ${say.figure(most)}${unit}`, loose ? `; beside the days ${say.figure(loose)}${unit} were used elsewhere` : ""),
    make("ol", { class: "by-day" }, days.map((row) => day(row, most, unit, tones))),
  );
}

function day(row, most, unit, tones) {
  const parts = row.by_model.filter((part) => part.points > 0);
  const known = parts.reduce((sum, part) => sum + part.points, 0);
  const rest = Math.max(0, row.points - known);
  const words = [...parts.map((part) => `${partName(part)} ${say.figure(part.points)}${unit}`), ...(rest > 0.05 ? [`elsewhere ${say.figure(rest)}${unit}`] : [])];
  const label = say.axisMoment(row.start, true);
  return make(
    "li",
    { title: `${label}: ${say.figure(row.points)}${unit}${words.length ? ` (${words.join(", ")})` : ""}` },
    make("span", { class: "column", "aria-hidden": "true" },
      rest > 0.05 ? piece("rest", rest, most) : null,
      parts.toReversed().map((part) => piece(String(tones.get(part.model) ?? MAX_TONES - 1), part.points, most))),
    make("span", { class: "day-figure" }, row.points ? say.figure(row.points) : "–"),
    make("span", { class: "day-name" }, label),
  );
}

function partName(part) {
  return say.printable(part.model ?? "unknown model");
}

function piece(tone, points, most) {
  const element = make("span", { class: "piece", "data-tone": tone });
  element.style.setProperty("height", `${(100 * points) / most}%`);
  return element;
}

// Percent of several accounts would have no meaning.
function unitOf(document) {
  return document.accounts.length > 1 ? " points" : " %";
}

function block(title, document, unknown, tones = null) {
  const rows = document.rows.filter((row) => row.points || row.turns);
  const most = Math.max(...rows.map((row) => row.points), 0);
  const unit = unitOf(document);
  const items = rows.map((row) => usedRow(row, most, unit, unknown, tones));
  const others = document.other_rows ? [othersRow(document, unit)] : [];
  return make(
    "section",
    { class: "panel" },
    make("h3", {}, title),
    rows.length
      ? make("p", { class: "quiet" }, total(document, unit))
      : make("p", { class: "quiet" }, "No turns and no increase in this time range."),
    make("ul", { class: "rows" }, items.slice(0, MAX_ROWS)),
    more([...items.slice(MAX_ROWS), ...others], Math.max(0, items.length - MAX_ROWS) + document.other_rows),
  );
}

function total(document, unit) {
  const turns = say.plural(document.total.turns, "turn");
  if (document.window === null) return `${turns}${worth(document.total)}`;
  const points = `${say.figure(document.total.points)}${unit} of ${windowWords(document)}`;
  return `${turns}; together ${points}${worth(document.total)}`;
}

// One length stands for the windows of several accounts only if all have it.
function windowWords(document) {
  const lengths = new Set(document.windows.map((window) => window.length));
  if (lengths.size > 1) return "their windows";
  const length = say.windowLength(document.window, document.window_minutes);
  return document.accounts.length > 1 ? `their ${length} windows` : `the ${length} window`;
}

function rowName(row, unknown) {
  if (row.elsewhere) return "Elsewhere";
  if (row.pending) return "Not yet attributed";
  return say.printable(row.name || row.title || (row.key === TITLES ? "Titles of threads" : row.key) || unknown);
}

function usedRow(row, most, unit, unknown, tones) {
  const name = rowName(row, unknown);
  const place = [row.key ?? name, row.folder].filter(Boolean).map(say.printable).join(" · ");
  return make(
    "li",
    { "data-elsewhere": row.elsewhere || row.pending, "data-tone": tones?.get(row.key) ?? null },
    make(
      "p",
      { class: "row-head" },
      make("span", { class: "row-name", title: place }, make("bdi", {}, name)),
      make("span", { class: "row-figure" }, row.points === 0 ? "no increase seen" : make("b", {}, say.figure(row.points), unit)),
    ),
    make("div", { class: "gauge slim", "aria-hidden": "true" }, bar({}, most ? (100 * row.points) / most : 0)),
    make("p", { class: "quiet" }, make("bdi", {}, sourceWords(row))),
    row.tree.length ? subAgents(row.tree, unit) : null,
  );
}

// The threads that the thread of a row started: their use is part of the row's.
function subAgents(tree, unit) {
  return make(
    "details",
    { class: "more" },
    make("summary", {}, say.plural(tree.length, "thread of a sub-agent", "threads of sub-agents")),
    make(
      "ul",
      { class: "tree" },
      tree.map((each) =>
        make(
          "li",
          { class: "row-head" },
          make("span", { class: "row-name", title: say.printable(each.key ?? "") }, make("bdi", {}, [each.kind, each.title ?? each.key].filter(Boolean).map(say.printable).join(" · "))),
          make("span", { class: "row-figure" }, `${say.figure(each.points)}${unit}`),
        ),
      ),
    ),
  );
}

function sourceWords(row) {
  if (row.elsewhere) return "Not used by any turn that was seen";
  if (row.pending) return "A turn under way may have used it";
  const project = row.project && row.project !== row.name ? `${say.printable(row.project)} · ` : "";
  return `${project}${turnWords(row)}`;
}

function turnWords(row) {
  const cached = row.input_tokens ? ` (${say.share(row.cached_tokens / row.input_tokens)} cached)` : "";
  const refused = row.refused ? `, ${say.count(row.refused)} refused` : "";
  const turns = `${say.plural(row.turns, "turn")}${refused}`;
  return `${turns} · ${say.count(row.input_tokens)} tokens in${cached}, ${say.count(row.output_tokens)} out${worth(row)}`;
}

// What the tokens are sold for on the public API, where that is known.
function worth(figures) {
  return figures.api_value_usd ? ` · ${say.dollars(figures.api_value_usd)} at API prices` : "";
}

function more(items, number) {
  return items.length
    ? make("details", { class: "more" }, make("summary", {}, `${number} more`), make("ul", { class: "rows" }, items))
    : null;
}

// The rows beyond those that the document lists, as one.
function othersRow(document, unit) {
  return make(
    "li",
    {},
    make(
      "p",
      { class: "row-head" },
      make("span", { class: "row-name" }, `${document.other_rows} others`),
      make("span", { class: "row-figure" }, make("b", {}, say.figure(document.others.points), unit)),
    ),
    make("p", { class: "quiet" }, turnWords(document.others)),
  );
}
