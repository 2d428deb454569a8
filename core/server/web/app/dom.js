/** Elements without markup: everything a person wrote goes in as text. */

const SVG = 'http://www.w3.org/2000/svg';

/** Outlines on a 24 × 24 grid. */
const ICONS = {
  back: 'M15 5l-7 7 7 7',
  close: 'M6 6l12 12M18 6L6 18',
  plus: 'M12 5v14M5 12h14',
  send: 'M4 12l16-8-5 16-3.5-6.5zM11.500 13.500L20 4',
  smile: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 14.500c1 1.300 2.200 2 3.500 2s2.500-.7 3.500-2M9 9.500v.6M15 9.500v.6',
  reply: 'M10 6L4 12l6 6M4 12h9a7 7 0 0 1 7 7',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  more: 'M12 5.500v1M12 11.500v1M12 17.500v1',
  down: 'M12 5v14M6 13l6 6 6-6',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5',
  settings: 'M4 7h9M19 7h1M16 4.500a2.500 2.500 0 1 0 0 5a2.500 2.500 0 0 0 0-5zM4 17h1M11 17h9M8 14.500a2.500 2.500 0 1 0 0 5a2.500 2.500 0 0 0 0-5z',
  people: 'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20a6.500 6.500 0 0 1 13 0M16 4.500a3.500 3.500 0 0 1 0 6.500M18 14.200a6.500 6.500 0 0 1 3.500 5.800',
  person: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500a7.500 7.500 0 0 1 15 0',
  enter: 'M13 4h6v16h-6M4 12h11M11 8l4 4-4 4',
  leave: 'M11 4H5v16h6M9 12h11M16 8l4 4-4 4',
  lock: 'M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3',
  hash: 'M9 4L7 20M17 4l-2 16M4 9h16M4 15h16',
  info: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8v.01',
  unread: 'M4 6h16v12H4zM4 7l8 6 8-6',
  check: 'M5 13l4 4L19 7',
  warning: 'M12 4l9 16H3zM12 10v4M12 17v.01',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2',
  sent: 'M6 13l4 4 8-10',
  both: 'M1.500 12.500l4.500 5L15 6.500M11 16l1.500 1.500L22 6.500',
  bell: 'M4 18h16l-2-2v-5a6 6 0 0 0-12 0v5zM10 21h4',
  mute: 'M4 18h14M6 16v-5a6 6 0 0 1 .8-3M9 5.800a6 6 0 0 1 9 5.200v4M10 21h4M4 4l16 16',
  clip: 'M20 11.500l-8 8a5 5 0 0 1-7-7l8.500-8.500a3.300 3.300 0 0 1 4.700 4.700l-8.500 8.500a1.700 1.700 0 0 1-2.400-2.400l7.500-7.500',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4M9 13h6M9 17h6',
  image: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.500 9v.01',
  play: 'M8 5l11 7-11 7z',
  save: 'M12 4v11M7 10l5 5 5-5M5 20h14',
  next: 'M9 5l7 7-7 7',
  compass: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM15.500 8.500l-2 5-5 2 2-5z',
  link: 'M10 13.500a4 4 0 0 0 5.700 0l3-3a4 4 0 0 0-5.700-5.700l-1 1M14 10.500a4 4 0 0 0-5.700 0l-3 3a4 4 0 0 0 5.700 5.700l1-1',
  pin: 'M9 4h6l-1 6 4 4H6l4-4zM12 14v6',
  flag: 'M6 21V4M6 4h11l-2 4 2 4H6',
  list: 'M9 6h11M9 12h11M9 18h11M4.500 6v.01M4.500 12v.01M4.500 18v.01',
  device: 'M4 5h16v11H4zM9 20h6M12 16v4',
};

/** Sets what `h` was given; attributes that are `false`, `null` or `undefined` are left out. */
function apply(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.setAttribute('class', value);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (['value', 'checked', 'disabled', 'selected', 'hidden'].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
}

/** An element with attributes, `on…` listeners, and children: nodes, texts, arrays of them, or nothing. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, props);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An outline; for the eye only. */
export function icon(name, extra = '') {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', `icon ${extra}`.trim());
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and is called `label`. */
export function iconButton(name, label, onclick, props = {}) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...props }, icon(name));
}

export const $ = (selector, root = document) => root.querySelector(selector);

/**
 * Makes the children of `parent` those of `rows`, `{key, sign, make()}`: what has the same key and sign stays the same element, with its focus,
 * selection and scroll position.
 */
export function reconcile(parent, rows) {
  const old = new Map();
  for (const child of parent.children) old.set(child.dataset.key, child);
  const keys = new Set(rows.map(({ key }) => key));
  let at = parent.firstElementChild;
  for (const row of rows) {
    // What goes in the end does not have those behind it move, which would take the focus out of them.
    while (at && !keys.has(at.dataset.key)) at = at.nextElementSibling;
    let element = old.get(row.key);
    if (element && element.rowSign === row.sign) {
      old.delete(row.key);
    } else {
      const previous = element;
      // Making a row may move parts of the old one into it.
      const focused = previous?.contains(document.activeElement) ? document.activeElement : undefined;
      element = row.make();
      element.dataset.key = row.key;
      element.rowSign = row.sign;
      if (previous) {
        if (at === previous) at = element;
        previous.replaceWith(element);
        old.delete(row.key);
        if (focused) (focused === previous ? element : element.contains(focused) ? focused : focused.id ? $(`#${CSS.escape(focused.id)}`, element) ?? element : element).focus({ preventScroll: true });
      }
    }
    if (element === at) { at = at.nextElementSibling; continue; }
    const focused = element.contains(document.activeElement) && document.activeElement;
    parent.insertBefore(element, at);
    if (focused) focused.focus({ preventScroll: true });
  }
  for (const stale of old.values()) stale.remove();
}

/** Runs `action` once before the next paint, however often it is called; also in a tab that is not painted. */
export function eachFrame(action) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    let done = false;
    const run = () => {
      if (done) return;
      done = true;
      asked = false;
      action();
    };
    requestAnimationFrame(run);
    setTimeout(run, 250);
  };
}

/** Says something to a screen reader. */
export function announce(text) {
  const region = $('#announce');
  region.textContent = '';
  setTimeout(() => { region.textContent = text; }, 50);
}

/** A short note at the edge of the window. `action` is `{label, run}`. */
export function toast(text, { kind = 'plain', action, stay = 6_000 } = {}) {
  const element = h('div', { class: `toast toast-${kind}` }, kind === 'error' && icon('warning'), h('span', {}, text),
    action && h('button', { type: 'button', class: 'link', onclick: () => { element.remove(); action.run(); } }, action.label),
    iconButton('close', 'Dismiss', () => element.remove()));
  const host = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;
  const region = host === document.body ? $('#toasts') : host.querySelector('.dialog-toasts') ?? $('#toasts');
  while (region.children.length >= 3) region.firstElementChild.remove();
  region.append(element);
  if (stay) setTimeout(() => element.remove(), stay);
}
