// A card for each account: documents in, elements out. Texts that change with time are marked for `tick`.

import { bar, make, strip } from "./dom.js";
import * as say from "./format.js";

const OLD_SECONDS = say.HOUR;
const VERY_OLD_SECONDS = say.DAY;

// `mode` is the figure that is shown large: "left" or "used".
export function cards(usage, overview, mode, now) {
  return inOrder(usage, overview).map(({ account, outlook }) =>
    make("li", { "data-key": account.account }, card(account, outlook, mode, now)),
  );
}

// The accounts with their outlooks, in the order of the overview; those that it does not know yet are the last.
export function inOrder(usage, overview) {
  const known = overview?.accounts ?? [];
  const place = new Map(known.map((each, index) => [each.account, index]));
  const rank = ({ account }) => place.get(account) ?? known.length;
  return usage.accounts
    .toSorted((one, other) => rank(one) - rank(other))
    .map((account) => ({ account, outlook: known[place.get(account.account)] ?? null }));
}

// The accounts in a narrow window: a bar for each window.
export function compactCards(usage, overview, mode, now) {
  return inOrder(usage, overview).map(({ account, outlook }) => {
    const main = mainLimit(account);
    const blocked = blockWords(main, now);
    const windows = Object.entries(main?.windows ?? {});
    return make(
      "li",
      { "data-key": account.account, class: "small", "data-blocked": Boolean(blocked) },
      make("h3", {}, make("bdi", {}, say.accountLabel(account))),
      blocked ? make("p", { class: "alarm" }, blocked) : null,
      windows.map(([slot, window]) => compactWindow(slot, window, outlookOf(outlook, main)[slot], mode, now)),
      windows.length ? null : make("p", { class: "quiet" }, "No data about windows."),
    );
  });
}

function compactWindow(slot, window, outlook, mode, now) {
  const used = window.used_percent;
  return make(
    "div",
    { class: "small-window", "data-level": levelOf(outlook) },
    make("span", { class: "length" }, say.windowLength(slot, window.window_minutes)),
    gauge(window, outlook, `${say.windowLength(slot, window.window_minutes)} window`, mode),
    make("b", { class: "amount" }, used === null ? "?" : say.percent(say.figureOf(used, mode))),
    make("span", { class: "quiet" }, shortReset(window, now)),
  );
}

export function shortReset(window, now) {
  if (window.resets_at === null) return "";
  if (window.reset_unseen) return "reset";
  if (window.reset_overdue) return "overdue";
  return until(window.resets_at, now);
}

function until(at, now) {
  const about = { class: "countdown", "data-until": String(at), title: say.fullMoment(at) };
  return make("span", about, say.duration(at - now));
}

// Update the texts that change every second.
export function tick(root, now) {
  for (const each of root.querySelectorAll("[data-until]")) {
    write(each, say.duration(Number(each.dataset.until) - now));
  }
  for (const each of root.querySelectorAll("[data-seen]")) {
    write(each, say.ago(now - Number(each.dataset.seen)));
  }
}

// A text that stays is not written again: it may be selected.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Why an account cannot be used; null if it can.
export function blockWords(limit, now) {
  const by = limit?.blocked_by;
  if (!by) return null;
  const at = limit.state_until;
  const until = at === null ? "" : ` until ${say.moment(at, now)}`;
  if (by !== "limit" && by !== "credits") {
    return `Blocked by ${say.windowName(by, limit.windows[by]?.window_minutes ?? null)}${until}`;
  }
  const type = limit.reached_type ? ` (${say.printable(limit.reached_type)})` : "";
  return by === "credits" ? `Blocked: credits are used up${type}${until}` : `Blocked by the server${type}${until}`;
}

// When the documents change next without a new reading: at a reset, at the end of a refusal, or when a figure from after
// its own reset no longer counts.
export function nextChange(usage, now) {
  const timestamps = usage.accounts
    .flatMap((account) => account.limits)
    .flatMap((limit) => [
      limit.reached_until,
      ...Object.values(limit.windows)
        .filter((window) => window.resets_at !== null && !window.reset_unseen)
        .map((window) => (window.reset_overdue ? limit.observed_at + OLD_SECONDS : window.resets_at)),
    ]);
  return Math.min(...timestamps.filter((at) => at !== null && at > now));
}

// The highest used percent of all main limits; null if none is known.
export function highest(usage) {
  const known = usage.accounts
    .flatMap((account) => Object.values(mainLimit(account)?.windows ?? {}))
    .map((window) => window.used_percent)
    .filter((used) => used !== null);
  return known.length ? Math.max(...known) : null;
}

// The limit that an account's card is about: a budget stands for a main limit of which nothing is reported.
export function mainLimit(account) {
  const first = account.limits[0];
  if (first && (first.blocked_by || Object.keys(first.windows).length)) return first;
  return account.limits.find((limit) => limit.budget) ?? first;
}

export function card(account, outlook, mode, now) {
  const main = mainLimit(account);
  const further = account.limits.filter((limit) => limit !== main);
  const label = say.accountLabel(account);
  const age = main ? now - main.observed_at : 0;
  return make(
    "article",
    { class: "card", "aria-label": label, "data-age": ageLevel(age), "data-blocked": Boolean(main?.blocked_by) },
    make(
      "header",
      {},
      make("h3", { title: label }, make("bdi", {}, label)),
      account.plan_type
        ? make("span", { class: "plan", title: "Plan" }, make("bdi", {}, say.printable(account.plan_type)))
        : null,
      menu(account, label),
      account.email && account.email !== account.label
        ? make("p", { class: "mail" }, make("bdi", {}, say.printable(account.email)))
        : null,
    ),
    main
      ? limitBody(main, outlookOf(outlook, main), mode, now)
      : make("p", { class: "quiet" }, "No data yet."),
    facts(account, now),
    further.length ? furtherLimits(further, outlook, main, mode, now) : null,
    main ? make("footer", {}, seen(main, age)) : null,
  );
}

// What can be done with an account. The page closes an open menu when the focus or a click goes elsewhere.
function menu(account, label) {
  return make(
    "details",
    { class: "menu" },
    make("summary", { "aria-label": `Actions for ${label}`, title: "Actions" }, make("span", { "aria-hidden": "true" }, "⋯")),
    make("div", { class: "menu-list" }, action("rename", account, label, "Rename"), action("forget", account, label, "Forget")),
  );
}

function action(name, account, label, words) {
  const about = { type: "button", class: "plain", "data-action": name, "data-account": account.account };
  return make("button", { ...about, "aria-label": `${words} ${label}` }, words);
}

export function ageLevel(age) {
  if (age >= VERY_OLD_SECONDS) return "very-old";
  return age >= OLD_SECONDS ? "old" : "fresh";
}

function seen(limit, age) {
  const source = say.printable(limit.source) + (limit.model ? `, ${say.printable(limit.model)}` : "");
  return make(
    "p",
    { class: "seen", title: `${say.fullMoment(limit.observed_at)} (${source})` },
    age >= OLD_SECONDS ? "Old: seen " : "Seen ",
    make(
      "time",
      { datetime: say.machineMoment(limit.observed_at), "data-seen": String(limit.observed_at) },
      say.ago(age),
    ),
  );
}

export function outlookOf(outlook, limit) {
  return outlook?.limits.find((each) => each.limit_id === limit?.limit_id)?.windows ?? {};
}

export function levelOf(outlook) {
  return outlook?.level ?? "unknown";
}

function limitBody(limit, outlooks, mode, now) {
  const blocked = blockWords(limit, now);
  const windows = Object.entries(limit.windows);
  return [
    blocked ? make("p", { class: "alarm" }, blocked) : null,
    limit.state === "on_credits" ? make("p", { class: "alarm calm" }, "Used up, running on credits") : null,
    limit.state === "unknown" && windows.some(([, window]) => window.reset_overdue)
      ? make("p", { class: "alarm calm" }, "Not known: nothing was seen since the reset was due")
      : null,
    windows.length ? null : make("p", { class: "quiet" }, "No data about windows."),
    budgetWords(limit) ? make("p", { class: "quiet" }, make("bdi", {}, budgetWords(limit))) : null,
    make(
      "div",
      { class: "windows" },
      windows.map(([slot, window]) => windowBody(slot, window, outlooks[slot], limit, mode, now)),
    ),
  ];
}

function windowBody(slot, window, outlook, limit, mode, now) {
  const used = window.used_percent;
  const length = say.windowLength(slot, window.window_minutes);
  const overruled = limit.blocked_by && limit.blocked_by !== slot && (used ?? 0) < 100;
  const forecast = window.reset_unseen || window.reset_overdue || overruled ? null : outlook;
  const other = mode === "left" ? "used" : "left";
  return make(
    "div",
    { class: "window", "data-level": levelOf(outlook), "data-overruled": Boolean(overruled) },
    make(
      "p",
      { class: "figures" },
      make("span", { class: "length" }, length),
      used === null
        ? make("span", { class: "amount" }, `${mode} unknown`)
        : make("span", { class: "amount" }, make("b", {}, say.percent(say.figureOf(used, mode))), ` ${mode}`),
      make("span", { class: "left" }, used === null ? "" : `${say.percent(say.figureOf(used, other))} ${other}`),
    ),
    gauge(window, forecast, `${length} window`, mode),
    make("p", { class: "resets" }, resets(window, now)),
    forecastBody(forecast, window, mode, now),
  );
}

// The forecast in a few words; the rest is on demand.
function forecastBody(forecast, window, mode, now) {
  const words = say.lastsWords(forecast, now);
  if (!words) return null;
  const rest = say.forecastWords(forecast, now);
  const level = forecast.forecast_level ?? "unknown";
  if (!rest) return make("p", { class: "forecast", "data-level": level }, words);
  return make(
    "details",
    { class: "forecast", "data-level": level },
    make("summary", {}, words),
    make("p", {}, rest),
    forecast.elapsed_percent === null
      ? null
      : make("p", {}, `${say.share(forecast.elapsed_percent / 100)} of its time has passed: the mark on the bar. `,
          forecast.at_reset === null ? "" : `The strip below it is where it will stand at the reset (${mode}).`),
  );
}

// A bar of what is left or used, with a mark for even use of the time gone, and a strip for where it will stand.
export function gauge(window, forecast, label, mode) {
  const used = window.used_percent;
  if (used === null) return make("div", { class: "meter" }, make("div", { class: "gauge" }));
  const value = Math.min(100, Math.max(0, say.figureOf(used, mode)));
  const of = (percent) => (mode === "left" ? 100 - say.shown(percent) : say.shown(percent));
  const both = [`${say.percent(say.left(used))} left`, `${say.percent(used)} used`];
  const about = { role: "meter", "aria-label": label, "aria-valuetext": (mode === "left" ? both : both.reverse()).join(", ") };
  const range = { "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": say.figure(value) };
  const elapsed = forecast?.elapsed_percent ?? null;
  const ends = forecast?.at_reset_low == null ? null : [of(forecast.at_reset_low), of(forecast.at_reset_high)];
  return make(
    "div",
    { class: "meter", ...about, ...range },
    make("div", { class: "gauge" }, bar({ class: "fill" }, value)),
    elapsed === null ? null : strip({ class: "gone" }, of(elapsed), of(elapsed)),
    ends && used < 100 ? strip({ class: "band" }, Math.min(...ends) - 0.5, Math.max(...ends) + 0.5) : null,
  );
}

function resets(window, now) {
  const at = window.resets_at;
  if (at === null) return window.reset_unseen ? "reset, not seen since" : "reset unknown";
  const clock = make("time", { datetime: say.machineMoment(at), title: say.fullMoment(at) }, say.moment(at, now));
  if (window.reset_unseen) return ["reset, not seen since (due ", clock, ")"];
  if (window.reset_overdue) return ["was due ", clock, ", not reset"];
  return ["resets in ", until(at, now), " · ", clock];
}

// The amounts of a limit: "Monthly credit limit: 24,000 of 25,000 credits"; null if it has none.
function budgetWords(limit) {
  if (!limit.budget) return null;
  const { limit: whole, used, remaining } = limit.budget;
  const unit = say.printable(limit.budget.unit ?? "credits");
  const size = whole === null ? ` ${unit}` : ` of ${say.amount(whole)} ${unit}`;
  const name = say.printable(limit.limit_name || limit.limit_id);
  if (used !== null) return `${name}: ${say.amount(used)}${size}${whole === null ? " used" : ""}`;
  if (remaining !== null) return `${name}: ${say.amount(remaining)}${size} left`;
  return whole === null ? null : `${name}: ${say.amount(whole)} ${unit}`;
}

function bankedWords(account, now) {
  const notes = account.reset_credits_applicable === 0 ? ["none now"] : [];
  const left = (account.reset_credits_expire ?? []).filter((at) => at > now);
  if (left.length) notes.push(`${left.length > 1 ? "the first " : ""}until ${say.moment(left[0], now)}`);
  return String(account.reset_credits) + (notes.length ? ` (${notes.join(", ")})` : "");
}

function modelWords(model, now) {
  const until = model.available_at === null ? "" : ` until ${say.moment(model.available_at, now)}`;
  return `not available${until}${model.credits_would_enable ? ", or with credits" : ""}`;
}

function facts(account, now) {
  const credits = creditWords(account.credits);
  const found = credits === null ? [] : [["Credits", credits]];
  if (account.reset_credits) found.push(["Resets to spend", bankedWords(account, now)]);
  if (account.spend_control_reached) found.push(["Spending limit", "reached"]);
  found.push(...account.unavailable_models.map((each) => [say.printable(each.model), modelWords(each, now)]));
  if (!found.length) return null;
  return make(
    "dl",
    { class: "facts" },
    found.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, value)))),
  );
}

// The credits of an account; null if there are none, or none are known.
function creditWords(credits) {
  if (credits?.unlimited) return "without limit";
  if (!credits?.has_credits) return null;
  return credits.balance === null ? "unknown" : say.amount(credits.balance);
}

function furtherLimits(limits, outlook, main, mode, now) {
  const closed = limits.filter((limit) => limit.blocked_by).length;
  const words = `${say.plural(limits.length, "further limit")}${closed ? `, ${closed} blocked` : ""}`;
  return make(
    "details",
    { class: "further" },
    make("summary", {}, words),
    limits.map((limit) =>
      make(
        "section",
        {},
        make("h4", {}, make("bdi", {}, say.printable(limit.limit_name || limit.limit_id))),
        limitBody(limit, outlookOf(outlook, limit), mode, now),
        Math.abs(limit.observed_at - main.observed_at) >= say.MINUTE ? seen(limit, now - limit.observed_at) : null,
      ),
    ),
  );
}
