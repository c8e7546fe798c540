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

// The time that is left, with seconds if it is less than a day: "2:29:07", "3 d 4:05 h".
export function countdown(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor((whole % DAY) / HOUR);
  const minutes = Math.floor((whole % HOUR) / MINUTE);
  if (whole >= DAY) return `${Math.floor(whole / DAY)} d ${hours} h ${two(minutes)} min`;
  return hours ? `${hours}:${two(minutes)}:${two(whole % MINUTE)}` : `${minutes}:${two(whole % MINUTE)}`;
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

// The level of use: low (green) below 50 %, medium (yellow) to 80 %, high (red) above.
export function level(used) {
  if (used === null) return "unknown";
  if (used < 50) return "low";
  return used <= 80 ? "medium" : "high";
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

const TOO_LITTLE_HISTORY = "too little history for a forecast";

// The forecast of a window in one line, as in `codex-tap forecast`; null if there is nothing to show.
export function forecastWords(window, now) {
  if (!window || window.used_percent === null || window.note === "reset, not seen since") return null;
  const chance = window.chance_dry;
  const note = window.note ? ` (${printable(window.note)})` : "";
  if (chance === null && window.note === TOO_LITTLE_HISTORY) return "Too little history for a forecast";
  if (chance === null) return window.note ? `Nothing to forecast: ${printable(window.note)}` : null;
  if (window.used_percent >= 100) return null;
  if (window.runs_dry_at === null) return `Lasts${stand(window)}${note}`;
  const dry = moment(window.runs_dry_at, now);
  if (chance < 0.5)
    return `Likely lasts${stand(window)}; ${share(chance)} chance to be dry before, at about ${dry}${note}`;
  const early =
    window.resets_at === null ? "" : `, ${duration(window.resets_at - window.runs_dry_at)} before its reset`;
  return `At this pace dry at ${dry}${early} (${between(window, now)})${note}`;
}

function stand(window) {
  if (window.at_reset === null) return "";
  if (window.at_reset_high === 0) return ": nothing used so far";
  // Nobody can use more than there is: the scenarios above 100 are those that run dry.
  const [at, low, high] = [window.at_reset, window.at_reset_low, window.at_reset_high].map((value) =>
    Math.round(Math.min(100, value)),
  );
  return `: about ${at} % at the reset (${low} to ${high} %)`;
}

function between(window, now) {
  const earliest = moment(window.runs_dry_low, now);
  if (window.runs_dry_high === null) return `${earliest} at the earliest, may last`;
  return `between ${earliest} and ${moment(window.runs_dry_high, now)}`;
}

// The level of a window by its forecast: low if it lasts, medium if it may run dry, high if it likely does.
export function forecastLevel(window) {
  if (!window || window.chance_dry === null) return "unknown";
  if (window.safe) return "low";
  return window.chance_dry < 0.5 ? "medium" : "high";
}

// The level of a window: that of its forecast, else that of its used percent.
export function windowLevel(used, forecast) {
  const found = forecastLevel(forecast);
  return found === "unknown" ? level(used) : found;
}
