// Used percent over time: a chart for each limit, drawn by uPlot (a global of its script).

import { make, update } from "./dom.js";
import * as say from "./format.js";
import { columns, limitsOf, peakColumns, peaksOf } from "./series.js";

const HEIGHT = 190;
const MAX_MARKS = 12; // resets that have a line; if there are more, they have triangles only
const SPAN_SECONDS = { "5h": 5 * say.HOUR, "24h": say.DAY, "7d": 7 * say.DAY, "30d": 30 * say.DAY };
const MIN_SPAN_SECONDS = 10 * say.MINUTE;
export const MAX_CHARTS = 6; // of several accounts, before the others are asked for
export const MAIN_LIMIT = "codex";
const uPlot = globalThis.uPlot;

export class Charts {
  #root;
  #shown = new Map();
  #last = null;
  #all = false;

  constructor(root) {
    this.#root = root;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#each((chart) => chart.draw()));
    new ResizeObserver(() => this.#each((chart) => chart.fit())).observe(root);
  }

  // Show a history, or the peaks of days; `choice` has the `span` and the account `who`, "" for all: of those, the main
  // limits. `overview` has the forecasts and the order of the accounts.
  show(history, choice, overview, now) {
    this.#last = { history, choice, overview, now };
    const all = chosen(history, choice, overview, now);
    const limits = this.#all ? all : all.slice(0, MAX_CHARTS);
    const kept = new Map();
    for (const limit of limits) {
      const key = JSON.stringify([limit.account, limit.limit_id, isPeaks(history), ...limit.lines.map((line) => line.slot)]);
      const chart = this.#shown.get(key) ?? new Chart(limit.lines.map((line) => line.slot), isPeaks(history));
      this.#shown.delete(key);
      const outlooks = outlooksOf(overview, limit);
      chart.set(limit, title(history, limit, choice), choice.span, { outlooks, thresholds: overview?.thresholds ?? {} }, now);
      kept.set(key, chart);
    }
    this.#each((chart) => chart.remove());
    this.#shown = kept;
    this.#root.replaceChildren(
      ...[...kept.values()].map((chart) => chart.figure),
      ...this.#rest(all.length - limits.length),
      ...silent(history, choice, all),
    );
    this.#each((chart) => chart.show());
  }

  // A button for the charts that are not shown.
  #rest(number) {
    if (!number) return [];
    const button = make("button", { type: "button", class: "whole" }, `Show ${say.plural(number, "more chart")}`);
    button.addEventListener("click", () => {
      this.#all = true;
      this.move(this.#last.now);
    });
    return [button];
  }

  // Move the charts to the current time without a request.
  move(now) {
    if (this.#last) this.show(this.#last.history, this.#last.choice, this.#last.overview, now);
  }

  #each(act) {
    this.#shown.forEach(act);
  }
}

function isPeaks(history) {
  return history.limits !== undefined;
}

function outlooksOf(overview, limit) {
  const account = overview?.accounts.find((each) => each.account === limit.account);
  return account?.limits.find((each) => each.limit_id === limit.limit_id)?.windows ?? {};
}

// The limits with data, in the order of the accounts, and the main limit of each account first.
function chosen(history, choice, overview, now) {
  const order = (overview ?? history).accounts.map((account) => account.account);
  const limits = (isPeaks(history) ? peaksOf(history) : limitsOf(history, now))
    .map((limit) => ({ ...limit, lines: limit.lines.filter((line) => line.points.some(([, used]) => used !== null)) }))
    .filter((limit) => limit.lines.length);
  const main = (limit) => limit.limit_id === MAIN_LIMIT;
  // An account without a main limit shows its other limits.
  const hasMain = new Set(limits.filter(main).map((limit) => limit.account));
  return limits
    .filter((limit) => choice.who || main(limit) || !hasMain.has(limit.account))
    .sort((one, other) => order.indexOf(one.account) - order.indexOf(other.account) || main(other) - main(one));
}

// A sentence about the accounts without data.
function silent(history, choice, limits) {
  const seen = new Set(limits.map((limit) => limit.account));
  const names = history.accounts.filter((account) => !seen.has(account.account)).map(say.accountLabel);
  if (!names.length) return [];
  const words = limits.length ? `No data in this time range: ${names.join(", ")}` : "No data in this time range.";
  return [make("p", { class: "quiet whole" }, make("bdi", {}, words))];
}

function title(history, limit, choice) {
  const account = history.accounts.find((each) => each.account === limit.account);
  const label = account ? say.accountLabel(account) : say.printable(limit.account);
  const name = say.printable(limit.limit_name || limit.limit_id);
  return choice.who || limit.limit_id !== MAIN_LIMIT ? `${label} · ${name}` : label;
}

class Chart {
  #slots;
  #byDay;
  #ahead = { outlooks: {}, thresholds: {} };
  #until = 0;
  #plot = null;
  #lines = [];
  #since = 0;
  #now = 0;
  #title = make("bdi");
  #legend = make("p", { class: "legend" });
  #canvas = make("div", { class: "canvas", role: "img" });
  figure = make(
    "figure",
    { class: "chart" },
    make("figcaption", {}, make("h3", {}, this.#title), this.#legend),
    this.#canvas,
  );

  // With `byDay` the chart has a bar for the peak of each day.
  constructor(slots, byDay) {
    this.#slots = slots;
    this.#byDay = byDay;
  }

  // Set the data to show.
  set(limit, words, span, ahead, now) {
    this.#lines = limit.lines;
    this.#now = now;
    this.#ahead = ahead;
    // From the first reading on, and ahead to the resets as far as half of the time range.
    const first = Math.min(...limit.lines.flatMap((line) => line.points.map(([at]) => at)));
    this.#since = this.#byDay
      ? Math.min(first - say.DAY / 2, now - 7 * say.DAY)
      : Math.min(Math.max(now - SPAN_SECONDS[span], first), now - MIN_SPAN_SECONDS);
    const resets = this.#byDay ? [] : limit.lines.map((line) => this.#outlook(line)?.resets_at ?? 0);
    this.#until = Math.max(now, Math.min(Math.max(...resets, 0), now + SPAN_SECONDS[span] / 2));
    if (this.#byDay) this.#until = now + say.DAY / 2;
    this.#title.textContent = words;
    this.#canvas.setAttribute("aria-label", `${words}: ${limit.lines.map((line) => this.#summary(line)).join("; ")}`);
  }

  // Show the data, once the figure is in the page.
  show() {
    if (this.#plot) this.#plot.setData(this.#columns());
    else this.draw();
    this.fit();
    this.#write();
  }

  #columns() {
    return this.#byDay ? peakColumns(this.#lines) : columns(this.#lines);
  }

  // The forecast of a line until its reset; null without one.
  #outlook(line) {
    const found = this.#ahead.outlooks[line.slot];
    return found && found.at_reset !== null && found.resets_at > this.#now ? found : null;
  }

  #summary(line) {
    const words = this.#byDay ? peakSummary(line) : summary(line);
    const outlook = this.#byDay ? null : this.#outlook(line);
    return outlook ? `${words}, about ${Math.round(say.shown(outlook.at_reset))} % at the reset` : words;
  }

  draw() {
    this.remove();
    this.#plot = new uPlot(this.#options(), this.#columns(), this.#canvas);
  }

  fit() {
    const width = this.#canvas.clientWidth;
    if (this.#plot && width && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  remove() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  // Write the values at the pointer into the legend, or the current ones.
  #write() {
    const index = this.#plot?.cursor.idx ?? null;
    const data = this.#plot?.data;
    const keys = this.#lines.map((line, place) => {
      const value = index === null ? this.#atRest(line) : data[place + 1][index];
      const resets = this.#byDay ? "highest" : line.resets.length ? say.plural(line.resets.length, "reset") : "";
      return make(
        "span",
        { class: `key ${style(line.slot)}` },
        `${say.windowLength(line.slot, line.minutes)} `,
        make("b", {}, say.percent(value)),
        " ",
        make("span", { class: "quiet" }, index === null ? resets : ""),
      );
    });
    const at = index === null ? null : this.#byDay ? say.axisMoment(data[0][index], true) : say.moment(data[0][index], this.#now);
    const moment = at === null ? null : make("span", { class: "quiet" }, at);
    update(this.#legend, [...keys, moment]);
  }

  // The value that the legend has while nothing is pointed at: the highest of the days, or the current one.
  #atRest(line) {
    return this.#byDay ? Math.max(...line.points.map(([, used]) => used)) : line.points.at(-1)[1];
  }

  #options() {
    const colours = colourTable();
    const axis = {
      stroke: colours.quiet,
      font: "12px system-ui, sans-serif",
      grid: { stroke: colours.rule, width: 1 },
      ticks: { show: false },
    };
    return {
      width: Math.max(200, this.#canvas.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: true, range: () => [this.#since, this.#until] }, y: { range: () => [0, this.#top()] } },
      axes: [
        {
          ...axis,
          space: 64,
          size: 28,
          values: (plot, timestamps, _axis, _space, step) => timestamps.map((at) => say.axisMoment(at, step >= say.DAY)),
        },
        { ...axis, space: 34, size: 50, values: (plot, values) => values.map((value) => `${value} %`) },
      ],
      series: [
        {},
        ...this.#slots.map((slot, place) => ({
          stroke: colours[style(slot)],
          width: this.#byDay ? 1 : 2,
          fill: this.#byDay ? colours[`${style(slot)}-fill`] : slot === "5h" ? colours.fill : undefined,
          dash: this.#byDay || slot === "5h" || slot === "7d" ? undefined : [5, 4],
          paths: this.#byDay ? bars(place, this.#slots.length) : uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
        })),
      ],
      hooks: { draw: [(plot) => this.#mark(plot, colours)], setCursor: [() => this.#plot && this.#write()] },
    };
  }

  #top() {
    return Math.max(100, ...this.#lines.flatMap((line) => line.points.map(([, used]) => used ?? 0)));
  }

  // Draw the thresholds, the resets, a dot at the current end of each line, and the forecast from there on.
  #mark(plot, colours) {
    const { ctx } = plot;
    ctx.save();
    for (const level of ["medium", "high"]) threshold(plot, this.#ahead.thresholds[level], colours[level]);
    for (const line of this.#byDay ? [] : this.#lines) {
      ctx.strokeStyle = ctx.fillStyle = colours[style(line.slot)];
      const many = line.resets.length > MAX_MARKS;
      for (const reset of line.resets) markReset(plot, reset, many);
      const [at, used] = line.points.at(-1);
      const outlook = this.#outlook(line);
      if (used !== null && used < 100 && outlook) fan(plot, [at, used], outlook);
      if (used !== null) dot(plot, at, used);
    }
    if (this.#until > this.#now && !this.#byDay) nowLine(plot, this.#now, colours.quiet);
    ctx.restore();
  }
}

// Draw a line through the chart with a triangle at its foot, which is hollow if the window was not seen since.
function markReset(plot, { at, unseen }, many) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio || 1;
  const size = 5 * ratio;
  const foot = bbox.top + bbox.height;
  const x = Math.round(plot.valToPos(at, "x", true));
  ctx.lineWidth = ratio;
  if (!many) {
    ctx.globalAlpha = 0.45;
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, foot);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.setLineDash([]);
  }
  ctx.beginPath();
  ctx.moveTo(x - size, foot);
  ctx.lineTo(x + size, foot);
  ctx.lineTo(x, foot - size * 1.4);
  ctx.closePath();
  if (unseen) ctx.stroke();
  else ctx.fill();
}

// Draw a thin line across the chart; it is left out where it is unknown.
function threshold(plot, used, colour) {
  if (used === undefined) return;
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio || 1;
  const y = Math.round(plot.valToPos(used, "y", true));
  ctx.strokeStyle = colour;
  ctx.lineWidth = ratio;
  ctx.globalAlpha = 0.6;
  ctx.setLineDash([ratio, 4 * ratio]);
  stroke(ctx, [bbox.left, y], [bbox.left + bbox.width, y]);
  ctx.globalAlpha = 1;
  ctx.setLineDash([]);
}

function nowLine(plot, now, colour) {
  const { ctx, bbox } = plot;
  const x = Math.round(plot.valToPos(now, "x", true));
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio || 1;
  stroke(ctx, [x, bbox.top], [x, bbox.top + bbox.height]);
}

function stroke(ctx, from, to) {
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
}

// Draw where a window will stand at its reset: the range as an area, and the estimate as a dashed line. What would be
// above the chart is cut off: a window ends at 100 %.
function fan(plot, [at, used], outlook) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio || 1;
  const point = (time, value) => [plot.valToPos(time, "x", true), plot.valToPos(value, "y", true)];
  const start = point(at, used);
  const end = outlook.resets_at;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.globalAlpha = 0.16;
  ctx.beginPath();
  ctx.moveTo(...start);
  ctx.lineTo(...point(end, outlook.at_reset_low));
  ctx.lineTo(...point(end, outlook.at_reset_high));
  ctx.closePath();
  ctx.fill();
  ctx.globalAlpha = 0.9;
  ctx.lineWidth = 1.5 * ratio;
  ctx.setLineDash([4 * ratio, 4 * ratio]);
  stroke(ctx, start, point(end, outlook.at_reset));
  ctx.restore();
}

// The bars of one of several windows, beside those of the others.
function bars(place, number) {
  return (plot, index, from, to) => {
    const align = number === 1 ? 0 : place === 0 ? -1 : 1;
    return uPlot.paths.bars({ size: [number === 1 ? 0.6 : 0.36, 24], align })(plot, index, from, to);
  };
}

function dot(plot, at, used) {
  const { ctx } = plot;
  ctx.beginPath();
  ctx.arc(plot.valToPos(at, "x", true), plot.valToPos(used, "y", true), 3 * (devicePixelRatio || 1), 0, 2 * Math.PI);
  ctx.fill();
}

function style(slot) {
  return { "5h": "line-short", "7d": "line-long" }[slot] ?? "line-other";
}

function colourTable() {
  const found = getComputedStyle(document.documentElement);
  const lines = ["line-short", "line-long", "line-other"];
  const names = ["quiet", "rule", "fill", "medium", "high", ...lines, ...lines.map((line) => `${line}-fill`)];
  return Object.fromEntries(names.map((name) => [name, found.getPropertyValue(`--${name}`).trim()]));
}

function summary(line) {
  const known = line.points.map(([, used]) => used).filter((used) => used !== null);
  const length = say.windowLength(line.slot, line.minutes);
  const last = `${length} window now ${say.percent(line.points.at(-1)[1])}`;
  return `${last}, highest ${say.percent(Math.max(...known))}, ${say.plural(line.resets.length, "reset")}`;
}

function peakSummary(line) {
  const peaks = line.points.map(([, used]) => used);
  return `${say.windowLength(line.slot, line.minutes)} window by day, highest ${say.percent(Math.max(...peaks))}`;
}
