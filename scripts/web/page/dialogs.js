// The dialogs of the page: rename an account, forget an account, and the token.

import * as api from "./api.js";
import * as say from "./format.js";

function part(dialog, name) {
  return dialog.querySelector(`[data-part="${name}"]`);
}

function reason(error) {
  if (error instanceof api.Problem) return say.printable(error.message);
  if (error instanceof api.Unreachable) return "The server does not respond.";
  console.error(error);
  return "Unexpected error; see the console of the browser.";
}

// Show a dialog. `act` runs on each submit: if it succeeds, the dialog closes; if it fails, the dialog shows why.
function show(dialog, act, cancelled = () => {}) {
  const form = dialog.querySelector("form");
  const problem = part(dialog, "problem");
  const controller = new AbortController();
  const { signal } = controller;
  problem.textContent = "";
  let done = false;
  form.addEventListener(
    "submit",
    async (event) => {
      event.preventDefault();
      const button = form.querySelector("[type=submit]");
      button.disabled = true;
      problem.textContent = "";
      try {
        await act(form);
        done = true;
        dialog.close();
      } catch (error) {
        problem.textContent = reason(error);
      } finally {
        button.disabled = false;
      }
    },
    { signal },
  );
  part(dialog, "cancel")?.addEventListener("click", () => dialog.close(), { signal });
  dialog.addEventListener(
    "close",
    () => {
      controller.abort();
      if (!done) cancelled();
    },
    { signal },
  );
  dialog.showModal();
}

// Ask for a name; `done` gets the new label of the account.
export function askName(account, done) {
  const dialog = document.getElementById("rename");
  const input = dialog.querySelector("input");
  part(dialog, "who").textContent = say.printable(account.name ? account.email || account.account : account.label);
  input.value = account.name ?? "";
  show(dialog, async () => {
    const changed = await api.rename(account.account, input.value.trim() || null);
    done(say.accountLabel(changed));
  });
  input.select();
}

// Ask whether to forget an account; `done` gets the files that may still contain its data.
export function askForget(account, done) {
  const dialog = document.getElementById("forget");
  const extent = part(dialog, "extent");
  part(dialog, "who").textContent = say.accountLabel(account);
  extent.textContent = "All its data is deleted.";
  api.account(account.account).then(
    (found) => {
      const snapshots = say.plural(found.snapshots, "snapshot");
      extent.textContent = `All its data is deleted: ${snapshots} and every turn.`;
    },
    () => {}, // the count is optional
  );
  show(dialog, async () => done((await api.forget(account.account)).files));
}

// Ask for the token until it is right, then call `done`. Nothing happens if the dialog is already open.
export function askToken(done) {
  const dialog = document.getElementById("token");
  const input = dialog.querySelector("input");
  if (dialog.open) return;
  const refused = api.token.get() !== null;
  api.token.drop();
  input.value = "";
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  show(
    dialog,
    async () => {
      api.token.set(input.value.trim());
      try {
        await api.get("/api/accounts");
      } catch (error) {
        api.token.drop();
        throw error instanceof api.Problem && error.status === 401
          ? new api.Problem(401, "Wrong token.")
          : error;
      }
      input.value = "";
      done();
    },
    () => askToken(done),
  );
  if (refused) part(dialog, "problem").textContent = "The token has changed.";
}
