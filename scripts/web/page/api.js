// What is asked of the server: documents, writes, and the stream of changes. All go by fetch, so that a token can be
// sent.

const TOKEN = "codex-tap token";
const SILENCE_MS = 45_000; // the server says something every 15 s
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;

// An answer that is a problem (RFC 9457): its status and what it says.
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Nobody answered, or not to the end.
export class Unreachable extends Error {}

// The token stays in the tab; where a browser keeps nothing, in the page.
let held = null;
export const token = {
  get() {
    try {
      return sessionStorage.getItem(TOKEN);
    } catch {
      return held;
    }
  },
  set(value) {
    held = value;
    try {
      if (value === null) sessionStorage.removeItem(TOKEN);
      else sessionStorage.setItem(TOKEN, value);
    } catch {
      // It is held.
    }
  },
  drop: () => token.set(null),
};

function headers(more = {}) {
  const known = token.get();
  return known ? { ...more, Authorization: `Bearer ${known}` } : more;
}

// Ask for a path and return the answer; raises Problem for one that is not fine, Unreachable where nobody answers.
async function ask(path, options = {}) {
  const answer = await whole(fetch(path, { ...options, headers: headers(options.headers) }));
  if (answer.ok) return answer;
  let detail = `the server answered ${answer.status}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // What stands between the page and the server need not speak JSON.
  }
  throw new Problem(answer.status, String(detail));
}

// A connection that fails is told by errors that look like those of a program: make them ours.
async function whole(promise) {
  try {
    return await promise;
  } catch {
    throw new Unreachable();
  }
}

async function askDocument(path, options) {
  return whole((await ask(path, options)).json());
}

export function get(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null);
  const query = new URLSearchParams(given).toString();
  return askDocument(query ? `${path}?${query}` : path);
}

function accountPath(key) {
  return `/api/accounts/${encodeURIComponent(key)}`;
}

export function account(key) {
  return get(accountPath(key));
}

export function rename(key, name) {
  const written = { "Content-Type": "application/json", "X-Codex-Tap": "1" };
  return askDocument(accountPath(key), { method: "PATCH", headers: written, body: JSON.stringify({ name }) });
}

export function forget(key) {
  return askDocument(accountPath(key), { method: "DELETE", headers: { "X-Codex-Tap": "1" } });
}

// Listen to the server for as long as the page is open.
//
// `on.state(state, detail)` hears "live", "lost" (it is tried again by itself) and "token" (listening waits until
// `resume` is called); `on.change(at)` hears that something is new, once at each connection too, and the server's time.
export function listen(on) {
  let waiting = FIRST_WAIT_MS;
  let wake = () => {};
  let paused = false;
  let stop = () => {};

  async function follow() {
    const controller = new AbortController();
    stop = () => controller.abort();
    let timer = setTimeout(stop, SILENCE_MS);
    try {
      const answer = await ask("/api/stream", { signal: controller.signal, cache: "no-store" });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      on.state("live");
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        waiting = FIRST_WAIT_MS;
        clearTimeout(timer);
        timer = setTimeout(stop, SILENCE_MS);
        const blocks = (rest + value).split(/\r?\n\r?\n/);
        rest = blocks.pop();
        for (const block of blocks) hear(block);
      }
    } finally {
      clearTimeout(timer);
      controller.abort();
    }
  }

  function hear(block) {
    const fields = block.split(/\r?\n/).map((line) => line.split(/: ?(.*)/s, 2));
    if (!fields.some(([name, value]) => name === "event" && value === "change")) return;
    const data = fields
      .filter(([name]) => name === "data")
      .map(([, value]) => value)
      .join("\n");
    on.change(JSON.parse(data).at);
  }

  async function run() {
    for (;;) {
      try {
        await follow();
        on.state("lost", "");
      } catch (error) {
        if (error instanceof Problem && error.status === 401) {
          paused = true;
          on.state("token");
        } else {
          on.state("lost", error instanceof Problem ? error.message : "");
        }
      }
      await new Promise((resolve) => {
        wake = resolve;
        if (!paused) setTimeout(resolve, waiting);
      });
      waiting = Math.min(waiting * 2, LONGEST_WAIT_MS);
    }
  }

  const resume = () => {
    paused = false;
    waiting = FIRST_WAIT_MS;
    wake();
  };
  // A laptop that wakes up, or a network that is back, need not wait.
  addEventListener("online", () => paused || resume());
  document.addEventListener("visibilitychange", () => document.hidden || paused || resume());
  run();
  return {
    resume,
    restart: () => {
      stop();
      resume();
    },
  };
}
