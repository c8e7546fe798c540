// Requests to the server: documents, writes, and the stream of changes. All use fetch, which can send a token.

const TOKEN = "codex-tap token";
const SILENCE_MS = 45_000; // the server sends at least a comment every 15 s
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 5_000;

// A response with a problem document (RFC 9457).
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// There was no response, or an incomplete one.
export class Unreachable extends Error {}

// The token is stored in the tab, or in the page if the browser has no storage.
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
      // The page still has it.
    }
  },
  drop: () => token.set(null),
};

function headers(more = {}) {
  const known = token.get();
  return known ? { ...more, Authorization: `Bearer ${known}` } : more;
}

// Request a path and return the response. Throws Problem for an error status, Unreachable if there is no response.
async function ask(path, options = {}) {
  const response = await whole(fetch(path, { ...options, headers: headers(options.headers) }));
  if (response.ok) return response;
  let detail = `the server responded with status ${response.status}`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // A proxy between the page and the server may respond with something else.
  }
  throw new Problem(response.status, String(detail));
}

// A failed connection rejects with a TypeError, like a bug would: turn it into Unreachable.
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

// Listen to the stream of changes for as long as the page is open.
//
// `on.state(state, detail)` gets "live", "lost" (the connection is retried) and "token" (listening waits for `resume`).
// `on.change(at)` is called at each change, and once at each connection, with the time of the server.
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
      const response = await ask("/api/stream", { signal: controller.signal, cache: "no-store" });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
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
        for (const block of blocks) handle(block);
      }
    } finally {
      clearTimeout(timer);
      controller.abort();
    }
  }

  function handle(block) {
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
      waiting = Math.min(waiting * 2, MAX_WAIT_MS);
    }
  }

  const resume = () => {
    paused = false;
    waiting = FIRST_WAIT_MS;
    wake();
  };
  // Reconnect at once when a laptop wakes up or the network is back.
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
