/** A dialog with a list that is loaded page by page. */

import { openDialog } from './dialogs.js';
import { $, h, icon } from './dom.js';
import { explain } from './format.js';

/**
 * A list below a line that says how it is, and a button for more. `load(after)` resolves with `{items, next}`, where `next` is the `after` of the
 * following page, if any; `row(item, gone)` makes an element, whose `gone()` takes it off the list; `empty` is said when there is nothing.
 */
export function pagedList({ label, load, row, empty }) {
  const said = h('div', { class: 'list-said', role: 'status' });
  const list = h('ul', { class: 'people', 'aria-label': label });
  const more = h('button', { type: 'button', class: 'secondary', hidden: true, onclick: () => page(true) }, 'Show more');
  const element = h('div', { class: 'paged' }, said, list, more);
  let next;
  let turn = 0;
  const say = (...nodes) => said.replaceChildren(...nodes);
  const gone = (item) => {
    const after = $('button', item.nextElementSibling ?? item.previousElementSibling ?? undefined ?? h('i')) ?? element.closest('dialog')?.querySelector('header button');
    const had = item.contains(document.activeElement) || document.activeElement === document.body;
    item.remove();
    if (had) after?.focus();
    if (!list.firstChild && more.hidden) say(h('p', { class: 'hint' }, empty));
  };
  const page = async (further = false) => {
    const mine = ++turn;
    const focused = document.activeElement === more;
    if (!further) say(h('span', { class: 'spinner' }), h('span', { class: 'unseen' }, 'Loading…')); else more.disabled = true;
    try {
      const { items, next: after } = await load(further ? next : undefined);
      if (mine !== turn) return;
      next = after;
      if (!further) list.replaceChildren();
      const rows = items.map((item) => { const one = row(item, () => gone(one)); return one; });
      list.append(...rows);
      more.hidden = next === undefined;
      say(...(list.firstChild ? [] : [h('p', { class: 'hint' }, empty)]));
      if (focused && more.hidden) $('button', rows[0])?.focus();
    } catch (error) {
      if (mine !== turn) return;
      say(h('p', { class: 'error' }, icon('warning'), h('span', {}, explain(error)), h('button', { type: 'button', class: 'link', onclick: () => page(further) }, 'Try again')));
    } finally {
      if (mine === turn) more.disabled = false;
    }
  };
  return { element, list, again: () => page() };
}

/** A dialog that is such a list, with `head` above it. */
export function listDialog(title, { about, head, tail, onclose, ...options }) {
  const paged = pagedList({ label: title, ...options });
  const dialog = openDialog(title, h('div', {}, about && h('p', { class: 'about' }, about), head, paged.element, tail), { wide: true, onclose });
  paged.again();
  return { dialog, ...paged };
}

/** What a command does has been done already: by somebody else, or before this list was loaded again. */
export const orDone = (command) => command.catch((error) => { if (error.code !== 'conflict') throw error; });

/** A button of a row: `label` is shown, `whom` is heard as well. It is off while `run` does its work, and what goes wrong is told by `wrong`. */
export function rowButton(label, whom, run, wrong, kind = 'secondary') {
  const button = h('button', { type: 'button', class: kind, onclick: async () => {
    button.disabled = true;
    try { await run(); } catch (error) { wrong(explain(error)); }
    if (button.isConnected) { button.disabled = false; if (document.activeElement === document.body) button.focus(); }
  } }, label, h('span', { class: 'unseen' }, ` ${whom}`));
  return button;
}
