// A card for each account: documents in, elements out. Texts that change every second are marked for `tick`.

import { bar, make } from "./dom.js";
import * as say from "./format.js";

const OLD_SECONDS = say.HOUR;
const VERY_OLD_SECONDS = say.DAY;

export function cards(usage, forecasts, now) {
  const byAccount = new Map((forecasts?.accounts ?? []).map((each) => [each.account, each]));
  return usage.accounts.map((account, index) => card(account, byAccount.get(account.account), index, now));
}

// Update the texts that change every second.
export function tick(root, now) {
  for (const each of root.querySelectorAll("[data-until]")) {
    each.textContent = say.countdown(Number(each.dataset.until) - now);
  }
  for (const each of root.querySelectorAll("[data-seen]")) {
    each.textContent = say.ago(now - Number(each.dataset.seen));
  }
}

// Why an account cannot be used; null if it can.
export function blockWords(limit, now) {
  const by = limit?.blocked_by;
  if (!by) return null;
  const at = blockedUntil(limit);
  const until = at === null ? "" : ` until ${say.moment(at, now)}`;
  const window = limit.windows[by];
  if (window) return `Blocked by ${say.windowName(by, window.window_minutes)}${until}`;
  const type = limit.reached_type ? ` (${say.printable(limit.reached_type)})` : "";
  return by === "credits" ? `Blocked: credits are used up${type}${until}` : `Blocked by the server${type}${until}`;
}

// When a closed limit opens again: after the resets of its full windows and the time that the server gave.
function blockedUntil(limit) {
  const ends = Object.values(limit.windows)
    .filter((window) => window.remaining_percent === 0)
    .map((window) => window.resets_at);
  if (limit.reached_until !== null) ends.push(limit.reached_until);
  return ends.length === 0 || ends.includes(null) ? null : Math.max(...ends);
}

// When the documents change next without a new reading: at a reset, when a passed reset counts as unseen, or at the end
// of a refusal.
export function nextChange(usage, now) {
  const timestamps = usage.accounts
    .flatMap((account) => account.limits)
    .flatMap((limit) => [
      limit.reached_until,
      ...Object.values(limit.windows)
        .filter((window) => window.resets_at !== null && !window.reset_unseen)
        .map((window) => (window.resets_at > now ? window.resets_at : limit.observed_at + 121)),
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

function card(account, forecast, index, now) {
  const main = mainLimit(account);
  const further = account.limits.filter((limit) => limit !== main);
  const label = say.accountLabel(account);
  const title = `account-${index}`;
  const age = main ? now - main.observed_at : 0;
  return make(
    "li",
    { "data-key": account.account },
    make(
      "article",
      { class: "card", "aria-labelledby": title, "data-age": ageLevel(age), "data-blocked": Boolean(main?.blocked_by) },
      make(
        "header",
        {},
        make("h3", { id: title, title: label }, make("bdi", {}, label)),
        account.plan_type
          ? make("span", { class: "plan", title: "Plan" }, make("bdi", {}, say.printable(account.plan_type)))
          : null,
        account.name && account.email
          ? make("p", { class: "mail" }, make("bdi", {}, say.printable(account.email)))
          : null,
      ),
      main
        ? limitBody(main, forecastOf(forecast, main), now)
        : make("p", { class: "quiet" }, "No data yet."),
      facts(account, now),
      further.length ? furtherLimits(further, forecast, main, now) : null,
      make(
        "footer",
        {},
        main ? seen(main, age) : null,
        action("rename", account, label, "Rename"),
        action("forget", account, label, "Forget"),
      ),
    ),
  );
}

function action(name, account, label, words) {
  const about = { type: "button", class: "plain", "data-action": name, "data-account": account.account };
  return make("button", { ...about, "aria-label": `${words} ${label}` }, words);
}

function ageLevel(age) {
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

function forecastOf(forecast, limit) {
  return forecast?.limits.find((each) => each.limit_id === limit.limit_id)?.windows ?? {};
}

function limitBody(limit, forecasts, now) {
  const blocked = blockWords(limit, now);
  const windows = Object.entries(limit.windows);
  return [
    blocked ? make("p", { class: "alarm" }, blocked) : null,
    limit.on_credits ? make("p", { class: "alarm calm" }, "Used up, running on credits") : null,
    windows.length ? null : make("p", { class: "quiet" }, "No data about windows."),
    budgetWords(limit) ? make("p", { class: "quiet" }, make("bdi", {}, budgetWords(limit))) : null,
    make(
      "div",
      { class: "windows" },
      windows.map(([slot, window]) => windowBody(slot, window, forecasts[slot], limit, now)),
    ),
  ];
}

function windowBody(slot, window, forecast, limit, now) {
  const used = window.used_percent;
  const length = say.windowLength(slot, window.window_minutes);
  const overruled = limit.blocked_by && limit.blocked_by !== slot && (used ?? 0) < 100;
  const words = window.reset_unseen || overruled ? null : say.forecastWords(forecast, now);
  return make(
    "div",
    { class: "window", "data-level": say.level(used), "data-overruled": Boolean(overruled) },
    make(
      "p",
      { class: "figures" },
      make("span", { class: "length" }, length),
      used === null
        ? make("span", { class: "amount" }, "used unknown")
        : make("span", { class: "amount" }, make("b", {}, say.percent(used)), " used"),
      make("span", { class: "left" }, used === null ? "left unknown" : leftWords(used)),
    ),
    gauge(used, `${length} window`),
    make("p", { class: "resets" }, resets(window, now)),
    words ? make("p", { class: "forecast", "data-level": say.forecastLevel(forecast) }, words) : null,
  );
}

function leftWords(used) {
  return `${say.percent(say.left(used))} left`;
}

function gauge(used, label) {
  if (used === null) return make("div", { class: "gauge" });
  const about = {
    role: "meter",
    "aria-label": label,
    "aria-valuetext": `${say.percent(used)} used, ${leftWords(used)}`,
  };
  const value = Math.min(100, Math.max(0, used));
  const range = { "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": say.figure(value) };
  return make("div", { class: "gauge", ...about, ...range }, bar({}, value));
}

function resets(window, now) {
  const at = window.resets_at;
  if (at === null) return window.reset_unseen ? "reset, not seen since" : "reset unknown";
  const clock = make("time", { datetime: say.machineMoment(at), title: say.fullMoment(at) }, say.moment(at, now));
  if (window.reset_unseen) return ["reset, not seen since (due ", clock, ")"];
  const counting = make("span", { class: "countdown", "data-until": String(at) }, say.countdown(at - now));
  return ["resets in ", counting, " · ", clock];
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
  const found = [["Credits", creditWords(account.credits)]];
  if (account.reset_credits) found.push(["Resets to spend", bankedWords(account, now)]);
  if (account.spend_control_reached) found.push(["Spending limit", "reached"]);
  found.push(...account.unavailable_models.map((each) => [say.printable(each.model), modelWords(each, now)]));
  return make(
    "dl",
    { class: "facts" },
    found.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, value)))),
  );
}

function creditWords(credits) {
  if (!credits) return "unknown";
  if (credits.unlimited) return "without limit";
  if (credits.has_credits) return credits.balance === null ? "unknown" : say.printable(credits.balance);
  return credits.has_credits === null ? "unknown" : "none";
}

function furtherLimits(limits, forecast, main, now) {
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
        limitBody(limit, forecastOf(forecast, limit), now),
        Math.abs(limit.observed_at - main.observed_at) >= say.MINUTE ? seen(limit, now - limit.observed_at) : null,
      ),
    ),
  );
}
