// The headline: how things stand, in one sentence. The server has decided; this has the words.

import { make } from "./dom.js";
import * as say from "./format.js";

const ONE = { low: "All right", medium: "May not last", high: "Will not last at this pace" };
const PACE = { low: "on pace", medium: "may run dry" };
const NAMES = { "7 d": "this week", "30 d": "this month" };
const MAX_CLOSED = 2;

// Return the parts of the sentence, each an array of texts and elements.
export function headline(found, several, mode, now) {
  if (!found) return [];
  const parts = [lead(found, several, now), ...closedParts(found, several, now)];
  parts.push(...found.windows.map((window) => [windowWords(window, mode, now)]));
  return parts.filter((part) => part !== null);
}

function lead(found, several, now) {
  if (found.state === "wait") {
    const [first] = found.closed;
    if (!several) return [`Full${until(first, now)}`];
    return first.until === null ? ["No account can be used now"] : ["Wait: ", name(first), ` opens ${at(first.until, now)}`];
  }
  if (found.state === "unknown") return ["Nothing is known now of ", name(found.account)];
  if (several) return ["Use ", name(found.account), found.on_credits ? ", on credits" : ""];
  return [found.on_credits ? "On credits" : (ONE[found.level] ?? "Open")];
}

function closedParts(found, several, now) {
  if (!several) return [];
  // The first of them is already named where all are closed.
  const closed = found.state === "wait" && found.closed[0].until !== null ? found.closed.slice(1) : found.closed;
  const named = closed.slice(0, closed.length > MAX_CLOSED + 1 ? MAX_CLOSED : closed.length);
  const parts = named.map((each) => [name(each), ` is ${each.length === null ? "blocked" : "full"}${until(each, now)}`]);
  if (closed.length > named.length) parts.push([`${closed.length - named.length} more are closed`]);
  return parts;
}

function until(closed, now) {
  return closed.until === null ? "" : ` until ${say.moment(closed.until, now)}`;
}

function at(timestamp, now) {
  return `at ${say.moment(timestamp, now)}`;
}

function name(account) {
  return make("b", {}, make("bdi", {}, say.accountLabel(account)));
}

function windowWords(window, mode, now) {
  const length = say.windowLength(window.slot, window.window_minutes);
  const name = window.slot === "budget" ? "budget" : (NAMES[length] ?? length);
  if (window.used_percent === null) return `${name} unknown`;
  const words = `${name} ${say.percent(say.figureOf(window.used_percent, mode))} ${mode}`;
  if (window.reset_unseen) return `${words}, reset, not seen since`;
  if (window.forecast_level === null) return words;
  const dry = window.runs_dry_at === null ? "runs dry" : `runs dry at about ${say.moment(window.runs_dry_at, now)}`;
  return `${words}, ${PACE[window.forecast_level] ?? dry}`;
}

// Return the elements of the headline.
export function headlineBody(found, several, mode, now) {
  return headline(found, several, mode, now).map((part, place) =>
    make("span", { class: place ? "part" : "lead" }, place ? " · " : "", part),
  );
}
