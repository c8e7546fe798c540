// The sections below the charts, what used the windows and the events: documents in, elements out.

import { bar, make } from "./dom.js";
import * as say from "./format.js";

const MAX_ROWS = 8;
const MAX_EVENTS = 12;

const TONES = {
  limit_reached: "high",
  limit_freed: "low",
  window_reset: "low",
  window_reset_early: "medium",
  banked_reset_used: "low",
  window_moved: "medium",
  window_not_reset: "high",
  used_percent_fell: "medium",
  used_elsewhere: "medium",
};

// The key of the turns in which Codex makes titles of threads.
const TITLES = "thread_title";

// The use by thread, by model and, where one is known, by project.
export function used(byThread, byModel, byProject) {
  return [
    block("By thread", byThread, "unknown thread"),
    byProject.rows.some((row) => row.key !== null) ? block("By project", byProject, "no project known") : null,
    block("By model", byModel, "unknown model"),
  ];
}

function block(title, document, unknown) {
  const rows = document.rows.filter((row) => row.points || row.turns);
  const most = Math.max(...rows.map((row) => row.points), 0);
  const unit = document.accounts.length > 1 ? " points" : " %"; // percent of several accounts would have no meaning
  const items = rows.map((row) => usedRow(row, most, unit, unknown));
  return make(
    "section",
    { class: "panel" },
    make("h3", {}, title),
    rows.length
      ? make("p", { class: "quiet" }, total(document, unit))
      : make("p", { class: "quiet" }, "No turns and no increase in this time range."),
    make("ul", { class: "rows" }, items.slice(0, MAX_ROWS)),
    more(items.slice(MAX_ROWS), "more", (rest) => make("ul", { class: "rows" }, rest)),
  );
}

function total(document, unit) {
  const turns = say.plural(document.total.turns, "turn");
  if (document.window === null) return turns;
  return `${turns}; together ${say.figure(document.total.points)}${unit} of ${windowWords(document)}`;
}

// One length stands for the windows of several accounts only if all have it.
function windowWords(document) {
  const lengths = new Set(document.windows.map((window) => window.length));
  if (lengths.size > 1) return "their windows";
  const length = say.windowLength(document.window, document.window_minutes);
  return document.accounts.length > 1 ? `their ${length} windows` : `the ${length} window`;
}

function usedRow(row, most, unit, unknown) {
  const name = row.elsewhere
    ? "Elsewhere"
    : row.pending
      ? "Not yet attributed"
      : say.printable(row.name || row.title || (row.key === TITLES ? "Titles of threads" : row.key) || unknown);
  const place = [row.key ?? name, row.folder].filter(Boolean).map(say.printable).join(" · ");
  return make(
    "li",
    { "data-elsewhere": row.elsewhere || row.pending },
    make(
      "p",
      { class: "row-head" },
      make("span", { class: "row-name", title: place }, make("bdi", {}, name)),
      make("span", { class: "row-figure" }, row.points === 0 ? "no increase seen" : pointWords(row, unit)),
    ),
    make("div", { class: "gauge slim", "aria-hidden": "true" }, bar({}, most ? (100 * row.points) / most : 0)),
    make("p", { class: "quiet" }, sourceWords(row)),
  );
}

function pointWords(row, unit) {
  return [make("b", {}, say.figure(row.points), unit), row.share === null ? null : ` · ${say.share(row.share)} of it`];
}

function sourceWords(row) {
  if (row.elsewhere) return "Not used by any turn that was seen";
  return row.pending ? "A turn under way may have used it" : turnWords(row);
}

function turnWords(row) {
  const cached = row.input_tokens ? ` (${say.share(row.cached_tokens / row.input_tokens)} cached)` : "";
  const refused = row.refused ? `, ${say.count(row.refused)} refused` : "";
  const turns = `${say.plural(row.turns, "turn")}${refused}`;
  return `${turns} · ${say.count(row.input_tokens)} tokens in${cached}, ${say.count(row.output_tokens)} out`;
}

// The events, the newest first.
export function happened(document, now) {
  const found = document.events.toReversed();
  if (!found.length) return [make("p", { class: "quiet" }, "No events in this time range.")];
  const several = document.accounts.length > 1;
  const items = found.map((event) => item(event, several, now));
  return [
    make("ol", { class: "events" }, items.slice(0, MAX_EVENTS)),
    more(items.slice(MAX_EVENTS), "earlier", (rest) => make("ol", { class: "events" }, rest)),
    document.left_out ? make("p", { class: "quiet" }, `${say.plural(document.left_out, "earlier event")} not shown`) : null,
  ];
}

function item(event, several, now) {
  return make(
    "li",
    {},
    make(
      "p",
      { class: "event-head" },
      make(
        "time",
        { datetime: say.machineMoment(event.at), title: say.fullMoment(event.at) },
        say.moment(event.at, now),
      ),
      make(
        "span",
        { class: "kind", "data-level": TONES[event.kind] ?? "unknown" },
        say.printable(event.kind).replaceAll("_", " "),
      ),
      several ? make("bdi", { class: "quiet" }, say.accountLabel(event)) : null,
    ),
    make("p", {}, make("bdi", {}, say.printable(event.text))),
    event.note ? make("p", { class: "quiet" }, make("bdi", {}, say.printable(event.note))) : null,
  );
}

function more(rest, word, list) {
  return rest.length
    ? make("details", { class: "more" }, make("summary", {}, `${rest.length} ${word}`), list(rest))
    : null;
}
