// The events: documents in, elements out.

import { make } from "./dom.js";
import * as say from "./format.js";

const MAX_EVENTS = 12;
export const NOTABLE = "notable";
export const ALL = "all";

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

// What the filter asks the server for.
export function eventQuery(filter) {
  if (filter === NOTABLE) return { routine: false };
  return filter === ALL ? {} : { kind: filter };
}

// Whether a filter stands for one kind: its events do not say which other kinds there are.
export function isKind(filter) {
  return filter !== NOTABLE && filter !== ALL;
}

// The choices of the filter: what is notable, everything, and each kind that there is.
export function eventFilters(document) {
  const routine = document.routine_left_out + document.events.filter((event) => event.routine).length;
  const found = document.events.map((event) => event.kind);
  const kinds = [...new Set(routine ? [...found, "window_reset"] : found)].sort();
  const all = routine ? `All, with ${say.plural(routine, "routine reset")}` : "All";
  return [[NOTABLE, "Notable"], [ALL, all], ...kinds.map((kind) => [kind, sentence(kind)])].map(([value, words]) =>
    make("option", { value }, words),
  );
}

function sentence(kind) {
  const words = say.printable(kind).replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

// The events, the newest first.
export function eventList(document, now) {
  const found = document.events.toReversed();
  const hidden = document.routine_left_out;
  const several = document.accounts.length > 1;
  const items = found.map((event) => item(event, several, now));
  return [
    found.length ? make("ol", { class: "events" }, items.slice(0, MAX_EVENTS)) : make("p", { class: "quiet" }, "No events in this time range."),
    more(items.slice(MAX_EVENTS)),
    hidden ? make("p", { class: "quiet" }, `${say.plural(hidden, "routine reset")} not shown`) : null,
    document.left_out ? make("p", { class: "quiet" }, `${say.plural(document.left_out, "earlier event")} not shown`) : null,
  ];
}

function item(event, several, now) {
  return make(
    "li",
    { "data-level": TONES[event.kind] ?? "unknown" },
    make("time", { datetime: say.machineMoment(event.at), title: say.fullMoment(event.at) }, say.moment(event.at, now)),
    make("span", { class: "kind", title: sentence(event.kind), "aria-hidden": "true" }),
    make(
      "p",
      {},
      several ? make("bdi", { class: "quiet" }, `${say.accountLabel(event)} `) : null,
      make("bdi", {}, say.printable(event.short_text)),
      event.note ? make("bdi", { class: "quiet" }, ` ${say.printable(event.note)}`) : null,
    ),
  );
}

function more(rest) {
  return rest.length
    ? make("details", { class: "more" }, make("summary", {}, `${rest.length} earlier`), make("ol", { class: "events" }, rest))
    : null;
}
