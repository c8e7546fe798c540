// The page: its state, when documents are requested again, and where they are shown.

import * as api from "./api.js";
import { blockWords, cards, compactCards, highest, mainLimit, nextChange, tick } from "./cards.js";
import { Charts, MAIN_LIMIT } from "./charts.js";
import { askForget, askName, askToken } from "./dialogs.js";
import { make, update } from "./dom.js";
import * as say from "./format.js";
import { used } from "./breakdown.js";
import { eventFilters, eventList, eventQuery, isKind, NOTABLE } from "./events.js";
import { headlineBody } from "./headline.js";
import { speed } from "./speed.js";
import { summaryRows } from "./summary.js";
import { DENSE_FROM, newTable, sortBy, table } from "./table.js";

const CHOICE = "codex-tap choice";
// A chart divides the time range into steps and has two points of each limit in each step. All limits share ALL_POINTS.
const MAX_POINTS = 400;
const MIN_POINTS = 60;
const ALL_POINTS = 3_000;
const MAX_EVENTS = 200;
const RETRY_MS = 5_000;

const $ = (id) => document.getElementById(id);
const charts = new Charts($("charts"));
const known = { usage: null, overview: null, search: null, peaks: null, blocked: new Map(), offset: 0, problems: new Map() };
const compact = new URLSearchParams(location.search).get("view") === "compact";
let rows = newTable();

function now() {
  return Date.now() / 1000 + known.offset;
}

// The choice of what is shown below the cards

function choice() {
  const one = known.usage?.accounts.length === 1 ? known.usage.accounts[0].account : "";
  return { span: $("choice").elements.span.value, who: $("who").value || one };
}

// The figure that is shown large: "left" or "used".
function mode() {
  return $("mode").elements.mode.value;
}

function recall() {
  try {
    const stored = JSON.parse(localStorage.getItem(CHOICE));
    for (const [form, name] of [["choice", "span"], ["mode", "mode"]]) {
      const found = [...$(form).elements[name]].find((radio) => radio.value === stored[name]);
      if (found) found.checked = true;
    }
  } catch {
    // There is no stored choice, or no storage.
  }
}

function remember() {
  try {
    localStorage.setItem(CHOICE, JSON.stringify({ span: choice().span, mode: mode() }));
  } catch {
    // Without storage the page works all the same.
  }
}

function showChoice() {
  const select = $("who");
  const { accounts, summary } = known.usage;
  const options = accounts.map((account) => make("option", { value: account.account }, say.accountLabel(account)));
  // The past of a great many accounts is shown for one at a time.
  const other = summary ? (accounts[0]?.account ?? "") : "";
  const chosen = accounts.some((account) => account.account === select.value) ? select.value : other;
  const moved = summary !== undefined && select.value !== chosen;
  update(select, [summary ? null : make("option", { value: "" }, "All accounts"), ...options]);
  select.value = chosen;
  select.closest("label").hidden = accounts.length < 2;
  return moved;
}

// Whether a request still fits the choice.
function isChosen(asked) {
  const { span, who } = choice();
  return asked.span === span && asked.who === who;
}

// Return a function that requests a document at most every `gap` milliseconds. With `atOnce`, for a person's choice, it
// waits only for a request that is already running.
function paced(name, gap, load, whileHidden = false) {
  let running = false;
  let wanted = false;
  let urgent = false;
  let last = -Infinity;
  let timer = null;
  async function go() {
    timer = null;
    running = true;
    wanted = urgent = false;
    try {
      await load();
      known.problems.delete(name);
    } catch (error) {
      failed(name, error, plan);
    }
    showProblems();
    running = false;
    last = performance.now();
    if (wanted) plan(urgent);
  }
  function plan(atOnce = false) {
    if (running || (document.hidden && !whileHidden)) {
      wanted = true;
      urgent ||= atOnce;
      return;
    }
    if (timer !== null && !atOnce) return;
    clearTimeout(timer);
    timer = setTimeout(go, atOnce ? 0 : Math.max(0, last + gap - performance.now()));
  }
  document.addEventListener("visibilitychange", () => !document.hidden && wanted && plan(urgent));
  return plan;
}

function failed(name, error, again) {
  if (error instanceof api.Problem && error.status === 401) {
    askToken(resume);
  } else if (error instanceof api.Problem) {
    known.problems.set(name, error.message);
    setTimeout(again, RETRY_MS);
  } else if (error instanceof api.Unreachable) {
    // Without a connection, the stream shows that, and all documents are requested again when it is back.
    if ($("line").dataset.state === "live") setTimeout(again, RETRY_MS);
  } else {
    console.error(error);
  }
}

function showProblems() {
  const [first] = known.problems.values();
  $("notice").hidden = first === undefined;
  if (first !== undefined) $("notice").textContent = say.printable(first);
}

const askUsage = paced(
  "usage",
  300,
  async () => {
    const asked = search();
    const [usage] = await Promise.all([api.get("/api/usage", asked), firstOverview(asked)]);
    known.usage = usage;
    showUsage();
    planChange();
  },
  true,
);

// The order of the cards comes from the overview: the first time they wait for it, so that they do not jump.
async function firstOverview(asked) {
  if (known.overview === null || known.search !== asked.search) await loadOverview(asked);
}

async function loadOverview(asked) {
  known.overview = await api.get("/api/overview", asked);
  known.search = asked.search;
}

// What is searched for on the server: in fewer accounts the table searches itself.
function search() {
  return { search: (known.usage?.summary && rows.search.trim()) || null };
}

const askOverview = paced("overview", 5_000, async () => {
  await loadOverview(search());
  if (known.usage) showUsage();
});

const askPeaks = paced("peaks", 60_000, async () => {
  known.peaks = await api.get("/api/peaks", { since: "30d" });
  if (known.usage) showUsage();
});

const askHistory = paced("history", 5_000, async () => {
  const asked = choice();
  const about = { since: asked.span, account: asked.who || null, limit_id: asked.who ? null : shared() };
  // Over 30 days a line would be hair: the peak of each day says more.
  const found = await (asked.span === "30d"
    ? api.get("/api/peaks", about)
    : api.get("/api/history", { ...about, points: points(asked.who) }));
  if (!isChosen(asked)) return;
  charts.show(found, asked, known.overview, now());
  $("charts").ariaBusy = null;
});

// The main limit if all accounts have one: of several accounts, only the main limits are shown.
function shared() {
  const everywhere = known.usage.accounts.every(({ limits }) => limits.some(({ limit_id }) => limit_id === MAIN_LIMIT));
  return everywhere ? MAIN_LIMIT : null;
}

function points(who) {
  const limits = known.usage.accounts
    .filter(({ account }) => !who || account === who)
    .flatMap((account) => account.limits);
  return Math.min(MAX_POINTS, Math.max(MIN_POINTS, Math.floor(ALL_POINTS / (limits.length || 1))));
}

const askUsed = paced("breakdown", 10_000, async () => {
  const asked = choice();
  const about = { since: asked.span, account: asked.who || null };
  const wanted = [{ by: "thread", tree: true }, { by: "model" }, { by: "project" }];
  if (["7d", "30d"].includes(asked.span)) wanted.push({ by: "day" });
  const found = await Promise.all(wanted.map((each) => api.get("/api/breakdown", { ...about, ...each })));
  if (!isChosen(asked)) return;
  update($("used"), used(...found));
  $("used").ariaBusy = null;
});

const askSpeed = paced("speed", 30_000, async () => {
  const asked = choice();
  const about = { since: asked.span, account: asked.who || null };
  const wanted = ["7d", "30d"].includes(asked.span) ? ["model", "day"] : ["model"];
  const found = await Promise.all(wanted.map((by) => api.get("/api/speed", { ...about, by })));
  if (!isChosen(asked)) return;
  update($("speed"), speed(...found));
  $("speed").ariaBusy = null;
});

const askEvents = paced("events", 3_000, async () => {
  const asked = choice();
  const filter = $("filter").value || NOTABLE;
  const about = { since: asked.span, account: asked.who || null, limit: MAX_EVENTS, ...eventQuery(filter) };
  const found = await api.get("/api/events", about);
  if (!isChosen(asked) || filter !== ($("filter").value || NOTABLE)) return;
  if (!isKind(filter)) {
    update($("filter"), eventFilters(found));
    $("filter").value = filter;
  }
  update($("events"), eventList(found, now()));
  $("events").ariaBusy = null;
});

// The server answers long questions in the order in which they are asked: what is in view comes first.
function askPast(atOnce) {
  if (compact || !known.usage?.accounts.length) return;
  const parts = Object.entries({ charts: askHistory, used: askUsed, speed: askSpeed, events: askEvents });
  const asks = [...parts.filter(([id]) => isInView($(id))), ...parts.filter(([id]) => !isInView($(id)))];
  for (const [, ask] of asks) ask(atOnce);
}

function isInView(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight;
}

// Showing documents

function showUsage() {
  const at = now();
  const { usage } = known;
  const some = usage.accounts.length > 0 || usage.summary !== undefined;
  const first = $("past").hidden && usage.accounts.length > 0;
  $("empty").hidden = some;
  $("accounts").hidden = $("headline").hidden = !some;
  $("past").hidden = !usage.accounts.length || compact;
  $("silent").textContent = say.silenceLine(usage.machines_silent ?? []);
  $("silent").hidden = !$("silent").textContent;
  showAccounts(at);
  if (showChoice() || first) askPast(true);
  const most = highest(usage);
  document.title = most === null ? "codex-tap" : `${say.percent(most)} · codex-tap`;
  announceBlocks(usage, at);
}

function showAccounts(at) {
  const { usage, overview } = known;
  const several = usage.accounts.length > 1;
  const dense = (usage.accounts.length >= DENSE_FROM || usage.summary !== undefined) && !compact;
  const focused = document.activeElement;
  const found = overview?.headline ?? null;
  update($("headline"), headlineBody(found, several, mode(), at));
  $("headline").dataset.level = found?.level ?? "unknown";
  $("cards").hidden = dense;
  $("table").hidden = !dense;
  if (dense) {
    const { head, body, words } = table(usage, overview, known.peaks, rows, mode(), at);
    update($("rows-head"), [head]);
    update($("rows"), body);
    $("rows-words").textContent = words;
    if (known.peaks === null && !usage.summary) askPeaks();
  } else {
    update($("cards"), (compact ? compactCards : cards)(usage, overview, mode(), at));
  }
  $("summary").hidden = !usage.summary;
  if (usage.summary) {
    const { head, body } = summaryRows(usage.summary);
    update($("plans-head"), head);
    update($("plans"), body);
  }
  // An element that was moved has lost the focus.
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

// Announce accounts that became blocked or opened again, for screen readers.
function announceBlocks(usage, at) {
  for (const account of usage.accounts) {
    const main = mainLimit(account);
    // What is unknown has neither been blocked nor opened.
    if (main?.state === "unknown") continue;
    const words = blockWords(main, at);
    const before = known.blocked.get(account.account);
    if (words && before === null) speak(`${say.accountLabel(account)}: ${words}`);
    if (!words && before) speak(`${say.accountLabel(account)} is open again`);
    known.blocked.set(account.account, words);
  }
}

function speak(words) {
  $("spoken").textContent = words;
}

// A reset changes the documents without a new reading: request them again then.
let change = null;
function planChange() {
  clearTimeout(change);
  const after = nextChange(known.usage, now()) - now();
  if (after === Infinity) return;
  const soon = after < say.HOUR;
  change = setTimeout(
    () => (soon ? (askUsage(), askOverview(), askPast()) : planChange()),
    (soon ? after + 0.5 : say.HOUR) * 1000,
  );
}

const LINES = { live: "Live", lost: "Connection lost. Trying again…", token: "Waiting for the token" };

function showLine(state, detail = "") {
  const line = $("line");
  const words = detail ? `${LINES.lost} ${say.printable(detail)}` : LINES[state];
  if (line.dataset.state !== "connecting" && line.dataset.state !== state) speak(words);
  line.dataset.state = state;
  $("line-words").textContent = words;
}

// Events of the server and of the person

const stream = api.listen({
  state: (state, detail) => {
    showLine(state, detail);
    if (state === "token") askToken(resume);
  },
  change: (at) => {
    const apart = at + 0.5 - Date.now() / 1000;
    known.offset = Math.abs(apart) > 5 ? apart : 0;
    askUsage();
    askOverview();
    askPast();
    if (known.peaks !== null) askPeaks();
  },
});

function resume() {
  stream.restart();
  askUsage(true);
}

document.addEventListener("click", (event) => {
  closeMenus(event.target);
  if (event.target.closest("[data-open]")) return openRow(event.target.closest("[data-open]").dataset.open);
  if (event.target.closest("[data-sort]")) return sortRows(event.target.closest("[data-sort]").dataset.sort);
  const button = event.target.closest("[data-action]");
  const account = button && known.usage?.accounts.find((each) => each.account === button.dataset.account);
  if (!account) return;
  closeMenus(null);
  if (button.dataset.action === "rename") {
    askName(account, (label) => {
      speak(`Renamed to ${label}`);
      askUsage(true);
      askPast(true);
    });
  } else {
    askForget(account, (files) => {
      speak("Forgotten");
      const warning = files.length ? `Forgotten. Files beside the database may still contain its data: ${files.join(", ")}` : null;
      if (warning) known.problems.set("forgotten", warning);
      else known.problems.delete("forgotten");
      showProblems();
      $("accounts").focus();
      askUsage(true);
      askPast(true);
    });
  }
});

// Close the menus that a click or the focus has left.
function closeMenus(target) {
  for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(target)) menu.open = false;
}

document.addEventListener("focusin", (event) => closeMenus(event.target));
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" ? event.target.closest?.(".menu[open]") : null;
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

function openRow(account) {
  if (!rows.open.delete(account)) rows.open.add(account);
  showAccounts(now());
}

function sortRows(column) {
  rows = sortBy(rows, column);
  showAccounts(now());
}

$("search").addEventListener("input", (event) => {
  rows = { ...rows, search: event.target.value };
  if (known.usage?.summary) askUsage();
  else showAccounts(now());
});

$("filter").addEventListener("change", () => {
  $("events").ariaBusy = "true";
  askEvents(true);
});

$("mode").addEventListener("change", () => {
  remember();
  showAccounts(now());
});
$("mode").addEventListener("submit", (event) => event.preventDefault());

$("choice").addEventListener("change", () => {
  remember();
  for (const name of ["charts", "used", "speed", "events"]) $(name).ariaBusy = "true";
  // Other events may have other kinds.
  $("filter").value = NOTABLE;
  askPast(true);
});
$("choice").addEventListener("submit", (event) => event.preventDefault());

document.body.dataset.view = compact ? "compact" : "full";
recall();
setInterval(() => tick($("accounts"), now()), 1_000);
setInterval(() => {
  if (!known.usage) return;
  showUsage();
  charts.move(now());
}, 60_000);
