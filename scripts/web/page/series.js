// Turns the entries of a history into the series of a chart: pure functions; timestamps are Unix seconds.

const JITTER_SECONDS = 60; // reset times this close together mean one reset
const MAX_LINES = 6;
const SLOTS = ["5h", "7d"];

// Return the limits of a history with a line for each window:
// [{ account, limit_id, limit_name,
//    lines: [{ slot, minutes, points: [[at, used or null]], resets: [{ at, unseen }] }] }]
export function limitsOf(history, now) {
  const found = new Map();
  for (const entry of history.entries) {
    const key = JSON.stringify([entry.account, entry.limit_id]);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(entry);
  }
  return [...found.values()].map((entries) => {
    const { account, limit_id, limit_name } = entries.at(-1);
    const slots = [...new Set(entries.flatMap((entry) => Object.keys(entry.windows)))];
    const order = (slot) => (SLOTS.indexOf(slot) + 3) % 3;
    slots.sort((one, other) => order(one) - order(other));
    return {
      account,
      limit_id,
      limit_name,
      lines: slots.slice(0, MAX_LINES).map((slot) => lineOf(entries, slot, history.since, now)),
    };
  });
}

// Return the used percent of a window as steps. A reset that passed unseen is a fall to 0 at the time of the reset.
export function lineOf(entries, slot, since, now) {
  const points = [];
  const resets = [];
  let before = null;
  let minutes = null;
  const put = (at, used) => {
    // The clock may have been set back, but the times of a chart must ascend.
    const place = Math.min(now, Math.max(at, since, points.at(-1)?.[0] ?? 0));
    if (points.at(-1)?.[0] === place) points.pop();
    points.push([place, used]);
  };
  const reset = (at, unseen) => at >= since && at <= now && resets.push({ at, unseen });
  for (const entry of entries) {
    const window = entry.windows[slot];
    if (!window || window.used_percent === null) {
      if (before) put(entry.first_seen_at, null);
      before = null;
      continue;
    }
    if (before?.used_percent) {
      const due = before.resets_at;
      if (due !== null && due > before.last_seen_at && due <= entry.first_seen_at) {
        put(due, 0);
        reset(due, false);
      } else if (window.used_percent < before.used_percent && otherReset(before, window)) {
        reset(entry.first_seen_at, false);
      }
    }
    put(entry.first_seen_at, window.used_percent);
    minutes = window.window_minutes ?? minutes;
    before = { ...window, last_seen_at: entry.last_seen_at };
  }
  if (before?.used_percent && before.resets_at > before.last_seen_at && before.resets_at <= now) {
    put(before.resets_at, 0);
    reset(before.resets_at, true);
  }
  if (points.length) put(now, points.at(-1)[1]);
  return { slot, minutes, points, resets };
}

function otherReset(before, window) {
  return (
    before.resets_at === null ||
    window.resets_at === null ||
    Math.abs(window.resets_at - before.resets_at) > JITTER_SECONDS
  );
}

// Return the columns for the chart library: all timestamps, and the value of each line at each timestamp.
export function columns(lines) {
  const timestamps = [...new Set(lines.flatMap((line) => line.points.map(([at]) => at)))].sort(
    (one, other) => one - other,
  );
  const values = lines.map((line) => {
    let index = -1;
    return timestamps.map((at) => {
      while (index + 1 < line.points.length && line.points[index + 1][0] <= at) index += 1;
      return index < 0 ? null : line.points[index][1];
    });
  });
  return [timestamps, ...values];
}
