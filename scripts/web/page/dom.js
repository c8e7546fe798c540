// Creates and updates elements. Text always stays text: nothing on the page parses markup.

// Create an element. Attributes that are null, undefined or false are omitted.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

// Create an element of a drawing (SVG).
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.flat());
  return element;
}

// Create a span that covers a part of its parent's width, both ends in percent.
export function strip(attributes, from, to) {
  const element = bar(attributes, to - from);
  element.style.setProperty("left", `${Math.min(100, Math.max(0, from))}%`);
  return element;
}

// Create a span with a width in percent, set in the way that the content security policy allows.
export function bar(attributes, width) {
  const element = make("span", attributes);
  element.style.setProperty("width", `${Math.min(100, Math.max(0, width))}%`);
  return element;
}

// Make the children of `parent` equal to `wanted` by changing only what differs, which preserves the focus, open details
// and transitions.
export function update(parent, wanted) {
  const keyed = new Map();
  const keys = new Set(wanted.map((child) => child?.dataset?.key));
  for (const child of [...parent.children]) {
    // Removed first, so that the others need not be moved: an element that is moved loses the focus.
    if (!keys.has(child.dataset.key)) child.remove();
    else if (child.dataset.key !== undefined) keyed.set(child.dataset.key, child);
  }
  let place = parent.firstChild;
  for (const fresh of wanted.filter((child) => child !== null)) {
    const kept = keyed.get(fresh.dataset?.key) ?? (place && !place.dataset?.key && alike(place, fresh) ? place : null);
    if (kept === null) {
      parent.insertBefore(fresh, place);
      continue;
    }
    if (kept === place) place = place.nextSibling;
    else parent.insertBefore(kept, place);
    become(kept, fresh);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}

function become(kept, fresh) {
  if (kept.nodeType === Node.TEXT_NODE) {
    if (kept.data !== fresh.data) kept.data = fresh.data;
    return;
  }
  for (const { name } of [...kept.attributes]) {
    // The reader opens and closes details.
    if (name !== "style" && name !== "open" && !fresh.hasAttribute(name)) kept.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && kept.getAttribute(name) !== value) kept.setAttribute(name, value);
  }
  if (kept.style.cssText !== fresh.style.cssText) kept.style.cssText = fresh.style.cssText;
  update(kept, [...fresh.childNodes]);
}
