// Formats values for people: pure functions; timestamps are Unix seconds.

export const MINUTE = 60;
export const HOUR = 3600;
export const DAY = 86400;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

// Replace what could disturb a display in text from the traffic: control, direction and invisible characters.
export function printable(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

// A duration in its two largest units, rounded down: "2 h 30 min", "3 d 4 h", "45 s".
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min`;
  const [large, unit, small, rest] = whole >= DAY ? [DAY, "d", HOUR, "h"] : [HOUR, "h", MINUTE, "min"];
  const remainder = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)} ${unit}` + (remainder ? ` ${remainder} ${rest}` : "");
}

export function ago(seconds) {
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

// The date of a timestamp; null if it is outside of any calendar, as a server may send.
function date(at) {
  const found = new Date(at * 1000);
  return Number.isNaN(found.getTime()) ? null : found;
}

function clock(when) {
  return `${String(when.getHours()).padStart(2, "0")}:${String(when.getMinutes()).padStart(2, "0")}`;
}

// A timestamp, as short as it is clear now: "14:05", "Tue 14:05", "3 Dec 14:05".
export function moment(at, now) {
  const when = date(at);
  const today = date(now);
  if (!when || !today) return "unknown";
  if (when.toDateString() === today.toDateString()) return clock(when);
  if (at > now && at - now < 6 * DAY) return `${WEEKDAYS[when.getDay()]} ${clock(when)}`;
  const year = when.getFullYear() === today.getFullYear() ? "" : ` ${when.getFullYear()}`;
  return `${when.getDate()} ${MONTHS[when.getMonth()]}${year} ${clock(when)}`;
}

// A timestamp in full, with the weekday.
export function fullMoment(at) {
  const when = date(at);
  if (!when) return "unknown";
  return `${WEEKDAYS[when.getDay()]} ${when.getDate()} ${MONTHS[when.getMonth()]} ${when.getFullYear()} ${clock(when)}`;
}

export function machineMoment(at) {
  return date(at)?.toISOString() ?? "";
}

// A label of the time axis: the time, or the day at midnight.
export function axisMoment(at, byDay) {
  const when = date(at);
  if (!when) return "";
  const midnight = when.getHours() === 0 && when.getMinutes() === 0;
  return midnight || byDay ? `${WEEKDAYS[when.getDay()]} ${when.getDate()}` : clock(when);
}

// A number with at most one decimal, rounded down: 99.97 is not yet 100.
export function figure(value) {
  return String(Math.trunc(value * 10 + 1e-9) / 10);
}

export function percent(value) {
  return value === null || value === undefined ? "unknown" : `${figure(value)} %`;
}

// A share from 0 to 1 as whole percent.
export function share(value) {
  return value === null ? "unknown" : `${Math.round(value * 100)} %`;
}

export function left(used) {
  return used === null ? null : Math.max(0, 100 - Number(figure(used)));
}

// The real length of a window: "5 h", "30 d"; if unknown, that of its slot with a "?". A slot without a number is a name.
export function windowLength(slot, minutes) {
  if (minutes === null || minutes === undefined) {
    const name = printable(slot);
    return /^\d/.test(name) ? `${name.replace(/^(\d+)/, "$1 ")}?` : name;
  }
  // A server may send 10079 minutes for seven days.
  const seconds = minutes * MINUTE;
  return duration(seconds < DAY ? seconds : Math.round(seconds / HOUR) * HOUR);
}

// An amount of dollars: "$12.40"; less than a cent is "<$0.01".
export function dollars(value) {
  if (value > 0 && value < 0.005) return "<$0.01";
  const [whole, cents] = value.toFixed(2).split(".");
  return `$${grouped(whole)}.${cents}`;
}

// What a used percent is in the chosen figure, "left" or "used".
export function figureOf(used, mode) {
  return mode === "left" ? left(used) : used;
}

// The name of a window in a sentence: "weekly" is clearer than "7 d".
export function windowName(slot, minutes) {
  const length = windowLength(slot, minutes);
  return length === "7 d" ? "weekly" : length;
}

// A large number: exact below 100,000 ("24,000"), else with three digits ("222 k", "41.7 M"), as in the terminal.
export function count(number) {
  for (const [scale, unit] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ]) {
    if (number < 0.9995 * scale || number < 100_000) continue;
    const digits = number < 9.995 * scale ? 2 : number < 99.95 * scale ? 1 : 0;
    return `${(number / scale).toFixed(digits)} ${unit}`;
  }
  return grouped(String(number));
}

// The text of a decimal number, as servers send amounts: "25000.50" becomes "25,000.50".
export function amount(written) {
  if (!/^[0-9]{1,30}(\.[0-9]{1,30})?$/.test(written)) return printable(written);
  const [whole, rest] = written.split(".");
  return grouped(String(BigInt(whole))) + (rest === undefined ? "" : `.${rest}`);
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function accountLabel(account) {
  return printable(account.label);
}

const NAMED_MACHINES = 5;

// The line on a team's machines that were not heard for a while; "" where there is none.
export function silenceLine(machines) {
  if (!machines.length) return "";
  const names = machines.map((each) => `${printable(each.machine)} (${duration(each.silent_seconds)})`);
  const more = names.splice(NAMED_MACHINES).length;
  if (more) names.push(`${count(more)} more`);
  return `Machines not heard lately, whose use since then is missing here: ${names.join(", ")}.`;
}

const TOO_LITTLE_HISTORY = "too little history for a forecast";

// Whether a window lasts, as short as it can be said: "81 % likely to last"; null if there is nothing to say.
export function lastsWords(window, now) {
  if (!window || window.used_percent === null || window.note === "reset, not seen since") return null;
  if (window.forecast_level === null) {
    if (window.note === TOO_LITTLE_HISTORY) return "Too little history for a forecast";
    return window.note ? `Nothing to forecast: ${printable(window.note)}` : null;
  }
  if (window.chance_lasts === null) return null;
  if (window.chance_lasts === 1) return "Lasts until the reset";
  if (window.forecast_level !== "high") return `${likely(window.chance_lasts)} likely to last`;
  const dry = window.runs_dry_at === null ? "" : ` at about ${moment(window.runs_dry_at, now)}`;
  return window.chance_dry === 1 ? `Runs dry${dry}` : `${likely(window.chance_dry)} likely to run dry${dry && `,${dry}`}`;
}

// A chance in percent: what is not certain is not shown as 0 or 100 %.
function likely(chance) {
  return `${Math.min(99, Math.max(1, Math.round(chance * 100)))} %`;
}

// The forecast of a window in full, as in `codex-tap forecast`; null if there is none.
export function forecastWords(window, now) {
  if (!window || window.forecast_level === null || window.used_percent >= 100) return null;
  const note = window.note ? ` (${printable(window.note)})` : "";
  if (window.runs_dry_at === null) return `Lasts${stand(window)}${note}`;
  const dry = moment(window.runs_dry_at, now);
  if (window.forecast_level !== "high")
    return `Likely lasts${stand(window)}; ${share(window.chance_dry)} chance to be dry before, at about ${dry}${note}`;
  const early =
    window.resets_at === null ? "" : `, ${duration(window.resets_at - window.runs_dry_at)} before its reset`;
  return `At this pace dry at ${dry}${early} (${between(window, now)})${note}`;
}

// A forecast of used percent as it is shown: nobody can use more than there is, and scenarios above are those that run dry.
export function shown(percent) {
  return Math.min(100, percent);
}

function stand(window) {
  if (window.at_reset === null) return "";
  if (window.at_reset_high === 0) return ": nothing used so far";
  const [at, low, high] = [window.at_reset, window.at_reset_low, window.at_reset_high].map((value) =>
    Math.round(shown(value)),
  );
  return `: about ${at} % at the reset (${low} to ${high} %)`;
}

function between(window, now) {
  const earliest = moment(window.runs_dry_low, now);
  if (window.runs_dry_high === null) return `${earliest} at the earliest, may last`;
  return `between ${earliest} and ${moment(window.runs_dry_high, now)}`;
}
