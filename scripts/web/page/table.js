// Many accounts in a table: a row for each, with the card of an account on demand.

import { ageLevel, blockWords, card, gauge, inOrder, levelOf, mainLimit, outlookOf, shortReset } from "./cards.js";
import { draw, make } from "./dom.js";
import * as say from "./format.js";

export const DENSE_FROM = 6;
const SPARK = { width: 90, height: 22, days: 30 };

const COLUMNS = [
  ["account", "Account"],
  ["short", "Short window"],
  ["long", "Long window"],
  ["outlook", "Outlook"],
  ["days", "30 days"],
  ["seen", "Seen"],
];
const SORTED = new Set(["account", "short", "long", "seen"]);

// The state of the table: what is searched for, the column that sorts (null: the most pressed first), and the open rows.
export function newTable() {
  return { search: "", sort: null, descending: false, open: new Set() };
}

// Return the rows of the head and of the body.
export function table(usage, overview, peaks, state, mode, now) {
  const found = inOrder(usage, overview).map(({ account, outlook }) => entry(account, outlook, mode));
  // Of a great many accounts, the server has searched all.
  const fits = usage.summary ? () => true : (each) => matches(each.account, state.search);
  const rows = sorted(found.filter(fits), state);
  return {
    head: make("tr", {}, COLUMNS.map((column) => headCell(column, state))),
    body: rows.flatMap((each) => [row(each, peaks, state, mode, now), ...detail(each, state, mode, now)]),
    words: shownWords(rows.length, usage.summary?.accounts ?? found.length),
  };
}

function shownWords(shown, all) {
  return shown < all ? `${shown} of ${say.plural(all, "account")}` : say.plural(all, "account");
}

function entry(account, outlook, mode) {
  const limit = mainLimit(account);
  const windows = Object.entries(limit?.windows ?? {});
  const minutes = ([, window]) => window.window_minutes ?? Infinity;
  windows.sort((one, other) => minutes(one) - minutes(other));
  const long = windows.length ? windows.at(-1) : null;
  const short = windows.length > 1 ? windows[0] : null;
  const value = (found) => (found ? (say.figureOf(found[1].used_percent, mode) ?? null) : null);
  const keys = {
    account: say.accountLabel(account).toLowerCase(),
    short: value(short),
    long: value(long),
    seen: limit ? -limit.observed_at : null,
  };
  return { account, outlook, limit, short, long, keys };
}

function matches(account, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [account.label, account.email, account.plan_type].filter(Boolean).join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

// What is unknown comes last.
function sorted(rows, { sort, descending }) {
  if (sort === null) return rows;
  const sign = descending ? -1 : 1;
  return rows.toSorted(({ keys: one }, { keys: other }) => {
    const [a, b] = [one[sort], other[sort]];
    if (a === null || b === null) return (a === null) - (b === null);
    return a === b ? 0 : a < b ? -sign : sign;
  });
}

// The next state of the table after a click on the head of a column: up, down, and the most pressed first again.
export function sortBy(state, column) {
  if (state.sort !== column) return { ...state, sort: column, descending: false };
  return state.descending ? { ...state, sort: null, descending: false } : { ...state, descending: true };
}

function headCell([name, words], state) {
  const sort = state.sort !== name ? "none" : state.descending ? "descending" : "ascending";
  if (!SORTED.has(name)) return make("th", { scope: "col", class: name }, words);
  return make(
    "th",
    { scope: "col", class: name, "aria-sort": sort },
    make("button", { type: "button", class: "sort", "data-sort": name }, words),
  );
}

function row({ account, outlook, limit, short, long }, peaks, state, mode, now) {
  const label = say.accountLabel(account);
  const open = state.open.has(account.account);
  const outlooks = outlookOf(outlook, limit);
  return make(
    "tr",
    { "data-key": account.account, class: "row", "data-level": outlook?.level ?? "unknown" },
    make(
      "th",
      { scope: "row", class: "account" },
      make(
        "button",
        { type: "button", class: "open", "data-open": account.account, "aria-expanded": String(open), title: label },
        make("bdi", {}, label),
      ),
    ),
    windowCell("short", short, outlooks, mode, now),
    windowCell("long", long, outlooks, mode, now),
    make("td", { class: "outlook" }, outlookWords(limit, outlooks, short, long, now)),
    make("td", { class: "days" }, spark(account, limit, long, peaks)),
    make("td", { class: "seen" }, limit ? seen(limit, now) : ""),
  );
}

function seen(limit, now) {
  const age = now - limit.observed_at;
  const about = { datetime: say.machineMoment(limit.observed_at), "data-seen": String(limit.observed_at) };
  return make("time", { ...about, "data-age": ageLevel(age), title: say.fullMoment(limit.observed_at) }, say.ago(age));
}

function windowCell(name, found, outlooks, mode, now) {
  if (!found) return make("td", { class: name }, make("span", { class: "quiet" }, "–"));
  const [slot, window] = found;
  const outlook = outlooks[slot] ?? null;
  const length = say.windowLength(slot, window.window_minutes);
  const figure = window.used_percent === null ? "unknown" : say.percent(say.figureOf(window.used_percent, mode));
  return make(
    "td",
    { class: name, "data-level": levelOf(outlook) },
    make(
      "div",
      { class: "cell" },
      make("span", { class: "length" }, length),
      make("b", {}, figure),
      make("span", { class: "quiet" }, shortReset(window, now)),
      gauge(window, window.reset_unseen || window.reset_overdue ? null : outlook, `${length} window`, mode),
    ),
  );
}

// Why the account is closed, else the forecast of its worse window.
function outlookWords(limit, outlooks, short, long, now) {
  const blocked = blockWords(limit, now);
  if (blocked) return make("span", { class: "high" }, blocked);
  const known = [short, long].filter(Boolean).map(([slot]) => outlooks[slot]).filter((each) => each?.chance_lasts != null);
  const worst = known.toSorted((one, other) => one.chance_lasts - other.chance_lasts)[0];
  return worst ? say.lastsWords(worst, now) : make("span", { class: "quiet" }, "–");
}

// The peaks of the long window, a bar for each day.
function spark(account, limit, long, peaks) {
  const found = peaks?.limits.find((each) => each.account === account.account && each.limit_id === limit?.limit_id);
  const days = (long && found?.windows[long[0]]?.days) ?? [];
  if (!days.length) return make("span", { class: "quiet" }, "–");
  const step = SPARK.width / SPARK.days;
  const last = peaks.until;
  const bars = days.map((day) => {
    const back = Math.round((last - day.start) / say.DAY - 0.5);
    const height = Math.max(1, (SPARK.height * say.shown(day.used_percent)) / 100);
    const x = SPARK.width - (back + 1) * step;
    return draw("rect", { x: x.toFixed(1), y: (SPARK.height - height).toFixed(1), width: (step - 0.6).toFixed(1), height: height.toFixed(1) });
  });
  const most = Math.max(...days.map((day) => day.used_percent));
  const words = `highest ${say.percent(most)} used in 30 days`;
  return draw(
    "svg",
    { class: "spark", viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, width: SPARK.width, height: SPARK.height, role: "img", "aria-label": words },
    bars,
  );
}

function detail({ account, outlook }, state, mode, now) {
  if (!state.open.has(account.account)) return [];
  return [
    make(
      "tr",
      { "data-key": `card of ${account.account}`, class: "detail" },
      make("td", { colspan: String(COLUMNS.length) }, card(account, outlook, mode, now)),
    ),
  ];
}
