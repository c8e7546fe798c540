// Turns the entries of a history into the series of a chart: pure functions; timestamps are Unix seconds.

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
    return {
      account,
      limit_id,
      limit_name,
      lines: inOrder(slots).map((slot) => {
        const of = (reset) => reset.account === account && reset.limit_id === limit_id && reset.window === slot;
        return lineOf(entries, slot, history.resets.filter(of), history.since, now);
      }),
    };
  });
}

// The first slots, the usual ones ahead.
function inOrder(slots) {
  const order = (slot) => (SLOTS.indexOf(slot) + 3) % 3;
  return slots.toSorted((one, other) => order(one) - order(other)).slice(0, MAX_LINES);
}

// Return the used percent of a window as steps. At each of its resets, the line falls to 0 until the next reading.
export function lineOf(entries, slot, resets, since, now) {
  const points = [];
  const waiting = resets.filter(({ at }) => at <= now);
  let minutes = null;
  const put = (at, used) => {
    // The clock may have been set back, but the times of a chart must ascend.
    const place = Math.min(now, Math.max(at, since, points.at(-1)?.[0] ?? 0));
    if (points.at(-1)?.[0] === place) points.pop();
    points.push([place, used]);
  };
  const passResets = (until) => {
    while (waiting.length && waiting[0].at <= until) {
      const { at } = waiting.shift();
      if (at < until) put(at, 0);
    }
  };
  let known = false;
  for (const entry of entries) {
    const window = entry.windows[slot];
    if (!window || window.used_percent === null) {
      if (known) put(entry.first_seen_at, null);
      known = false;
      continue;
    }
    passResets(entry.first_seen_at);
    put(entry.first_seen_at, window.used_percent);
    minutes = window.window_minutes ?? minutes;
    known = true;
  }
  for (const { at } of waiting) put(at, 0);
  if (points.length) put(now, points.at(-1)[1]);
  const shown = resets.filter(({ at }) => at >= since && at <= now).map(({ at, unseen }) => ({ at, unseen }));
  return { slot, minutes, points, resets: shown };
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

// Return the limits of a document of peaks in the form of `limitsOf`: a point in the middle of each day.
export function peaksOf(document) {
  return document.limits.map(({ account, limit_id, limit_name, windows }) => ({
    account,
    limit_id,
    limit_name,
    lines: inOrder(Object.keys(windows)).map((slot) => ({
      slot,
      minutes: windows[slot].window_minutes,
      points: windows[slot].days.map((day) => [(day.start + day.end) / 2, day.used_percent]),
      resets: [],
    })),
  }));
}

// Return the columns of peaks for the chart library: all days, and the peak of each line on each day, null without one.
export function peakColumns(lines) {
  const timestamps = [...new Set(lines.flatMap((line) => line.points.map(([at]) => at)))].sort((one, other) => one - other);
  return [timestamps, ...lines.map((line) => {
    const peaks = new Map(line.points);
    return timestamps.map((at) => peaks.get(at) ?? null);
  })];
}
