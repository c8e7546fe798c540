// The numbers of a great many accounts: by plan, and by how they stand.

import { make } from "./dom.js";
import * as say from "./format.js";

const COLUMNS = [
  ["accounts", "Accounts"],
  ["refused", "Blocked"],
  ["on_credits", "On credits"],
  ["high", "Above 80 %"],
  ["medium", "50 to 80 %"],
  ["low", "Below 50 %"],
  ["unknown", "Unknown"],
];
const LEVELS = { refused: "high", on_credits: "medium", high: "high", medium: "medium", low: "low" };

// Return the rows of the head and of the body.
export function summaryRows({ plans }) {
  const total = Object.fromEntries(COLUMNS.map(([name]) => [name, plans.reduce((sum, plan) => sum + plan[name], 0)]));
  const shown = COLUMNS.filter(([name]) => name === "accounts" || total[name]);
  const rows = plans.map((plan) => row(plan.plan_type ?? "unknown", plan, shown));
  if (plans.length > 1) rows.push(row("All", total, shown));
  const head = [make("th", { scope: "col" }, "Plan"), shown.map(([, words]) => make("th", { scope: "col" }, words))];
  return { head: [make("tr", {}, head)], body: rows };
}

function row(name, numbers, shown) {
  return make(
    "tr",
    { "data-key": name },
    make("th", { scope: "row" }, make("bdi", {}, say.printable(name))),
    shown.map(([column]) => make("td", { "data-level": numbers[column] ? LEVELS[column] : null }, say.count(numbers[column]))),
  );
}
