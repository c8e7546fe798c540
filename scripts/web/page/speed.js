// How fast Codex is: documents in, elements out. What is slow, and why, are sentences of the server.

import { make } from "./dom.js";
import * as say from "./format.js";

// Return the sentences on the last hours, and a table of the models and one of the days.
export function speed(byModel, byDay) {
  if (!byModel.total.answered) return [make("p", { class: "quiet" }, "No turns in this time range.")];
  const blocks = [table("By model", "Model", byModel.rows, (row) => say.printable(row.key ?? "unknown model"))];
  if (byDay) blocks.push(table("By day", "Day", byDay.rows, (row) => say.printable(row.key ?? "unknown")));
  return [
    make("p", { class: "quiet" }, make("bdi", {}, say.printable(byModel.now.text.join(" ")))),
    make("div", { class: "used-by" }, blocks),
  ];
}

function table(title, first, rows, name) {
  const heads = [first, "Turns", "First byte", "Tokens/s"];
  return make(
    "section",
    { class: "panel" },
    make("h3", {}, title),
    make(
      "table",
      { class: "figures-table", "aria-label": `Speed ${title.toLowerCase()}` },
      make("thead", {}, make("tr", {}, heads.map((words) => make("th", { scope: "col" }, words)))),
      make(
        "tbody",
        {},
        rows
          .filter((row) => row.answered)
          .map((row) =>
            make(
              "tr",
              {},
              make("th", { scope: "row" }, make("bdi", {}, name(row))),
              make("td", {}, say.count(row.answered)),
              quantiles(row.first_byte_seconds, row.usual.first_byte_seconds, " s"),
              quantiles(row.tokens_per_second, row.usual.tokens_per_second, ""),
            ),
          ),
      ),
    ),
  );
}

// The median, with the usual one of the days before in its title.
function quantiles(found, usual, unit) {
  if (found.median === null) return make("td", { class: "quiet" }, "–");
  const title = usual.median === null ? null : `usually ${say.figure(usual.median)}${unit}`;
  return make("td", { title }, `${say.figure(found.median)}${unit}`);
}
