// Used percent over time: a chart for each limit, drawn by uPlot (a global of its script).

import { make, update } from "./dom.js";
import * as say from "./format.js";
import { columns, limitsOf } from "./series.js";

const HEIGHT = 190;
const MAX_MARKS = 12; // resets that have a line; if there are more, they have triangles only
const SPAN_SECONDS = { "5h": 5 * say.HOUR, "24h": say.DAY, "7d": 7 * say.DAY, "30d": 30 * say.DAY };
export const MAIN_LIMIT = "codex";
const uPlot = globalThis.uPlot;

export class Charts {
  #root;
  #shown = new Map();
  #last = null;

  constructor(root) {
    this.#root = root;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#each((chart) => chart.draw()));
    new ResizeObserver(() => this.#each((chart) => chart.fit())).observe(root);
  }

  // Show a history; `choice` has the `span` and the account `who`, "" for all: of those, the main limits.
  show(history, choice, now) {
    this.#last = { history, choice };
    const limits = chosen(history, choice, now);
    const kept = new Map();
    for (const limit of limits) {
      const key = JSON.stringify([limit.account, limit.limit_id, ...limit.lines.map((line) => line.slot)]);
      const chart = this.#shown.get(key) ?? new Chart(limit.lines.map((line) => line.slot));
      this.#shown.delete(key);
      chart.set(limit, title(history, limit, choice), choice.span, now);
      kept.set(key, chart);
    }
    this.#each((chart) => chart.remove());
    this.#shown = kept;
    this.#root.replaceChildren(...[...kept.values()].map((chart) => chart.figure), ...silent(history, choice, limits));
    this.#each((chart) => chart.show());
  }

  // Move the charts to the current time without a request.
  move(now) {
    if (this.#last) this.show(this.#last.history, this.#last.choice, now);
  }

  #each(act) {
    this.#shown.forEach(act);
  }
}

// The limits with data, in the order of the accounts, and the main limit of each account first.
function chosen(history, choice, now) {
  const order = history.accounts.map((account) => account.account);
  const limits = limitsOf(history, now)
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

  constructor(slots) {
    this.#slots = slots;
  }

  // Set the data to show.
  set(limit, words, span, now) {
    this.#lines = limit.lines;
    this.#now = now;
    this.#since = now - SPAN_SECONDS[span];
    this.#title.textContent = words;
    this.#canvas.setAttribute("aria-label", `${words}: ${limit.lines.map(summary).join("; ")}`);
  }

  // Show the data, once the figure is in the page.
  show() {
    if (this.#plot) this.#plot.setData(columns(this.#lines));
    else this.draw();
    this.fit();
    this.#write();
  }

  draw() {
    this.remove();
    this.#plot = new uPlot(this.#options(), columns(this.#lines), this.#canvas);
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
      const value = index === null ? line.points.at(-1)[1] : data[place + 1][index];
      const resets = line.resets.length ? say.plural(line.resets.length, "reset") : "";
      return make(
        "span",
        { class: `key ${style(line.slot)}` },
        `${say.windowLength(line.slot, line.minutes)} `,
        make("b", {}, say.percent(value)),
        " ",
        make("span", { class: "quiet" }, index === null ? resets : ""),
      );
    });
    const moment = index === null ? null : make("span", { class: "quiet" }, say.moment(data[0][index], this.#now));
    update(this.#legend, [...keys, moment]);
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
      scales: { x: { time: true, range: () => [this.#since, this.#now] }, y: { range: () => [0, this.#top()] } },
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
        ...this.#slots.map((slot) => ({
          stroke: colours[style(slot)],
          width: 2,
          fill: slot === "5h" ? colours.fill : undefined,
          dash: slot === "5h" || slot === "7d" ? undefined : [5, 4],
          paths: uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
        })),
      ],
      hooks: { draw: [(plot) => this.#mark(plot, colours)], setCursor: [() => this.#plot && this.#write()] },
    };
  }

  #top() {
    return Math.max(100, ...this.#lines.flatMap((line) => line.points.map(([, used]) => used ?? 0)));
  }

  // Draw the resets, and a dot at the current end of each line.
  #mark(plot, colours) {
    const { ctx } = plot;
    ctx.save();
    for (const line of this.#lines) {
      ctx.strokeStyle = ctx.fillStyle = colours[style(line.slot)];
      const many = line.resets.length > MAX_MARKS;
      for (const reset of line.resets) markReset(plot, reset, many);
      const [at, used] = line.points.at(-1);
      if (used !== null) dot(plot, at, used);
    }
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
  const names = ["quiet", "rule", "fill", "line-short", "line-long", "line-other"];
  return Object.fromEntries(names.map((name) => [name, found.getPropertyValue(`--${name}`).trim()]));
}

function summary(line) {
  const known = line.points.map(([, used]) => used).filter((used) => used !== null);
  const length = say.windowLength(line.slot, line.minutes);
  const last = `${length} window now ${say.percent(line.points.at(-1)[1])}`;
  return `${last}, highest ${say.percent(Math.max(...known))}, ${say.plural(line.resets.length, "reset")}`;
}
