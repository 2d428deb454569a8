/** A menu at an element, or a sheet at the bottom of a phone. */

import { h, icon } from './dom.js';

/** Opens a menu of `{icon, label, run, danger?}`. `quick`, when given, is a row of emoji above it, `{emoji, on}`, and `pick(emoji)`. */
export function openMenu(anchor, label, items, { quick, pick, at } = {}) {
  const before = document.activeElement;
  let run;
  const choose = (action) => { run = action; dialog.close(); };
  const list = h('div', { class: 'menu-items', role: 'menu', 'aria-label': label },
    quick && h('div', { class: 'quick', role: 'group', 'aria-label': 'React' }, quick.map(({ emoji, name, on }) =>
      h('button', { type: 'button', role: 'menuitemcheckbox', 'aria-checked': String(Boolean(on)), class: on ? 'emoji on' : 'emoji', 'aria-label': name ?? emoji, onclick: () => choose(() => pick(emoji)) }, emoji)),
    h('button', { type: 'button', role: 'menuitem', class: 'emoji', 'aria-label': 'Other reaction', onclick: () => choose(() => pick()) }, icon('plus'))),
    items.filter(Boolean).map((item) => h('button', { type: 'button', role: 'menuitem', class: item.danger ? 'danger' : '', onclick: () => choose(item.run) }, icon(item.icon), h('span', {}, item.label))));
  const dialog = h('dialog', { class: 'menu', 'aria-label': label,
    onclick: (event) => { if (event.target === dialog) dialog.close(); },
    onclose: () => {
      dialog.remove();
      if (anchor.isConnected) anchor.removeAttribute('aria-expanded');
      if (before?.isConnected) before.focus({ preventScroll: true });
      run?.();
    },
    onkeydown: (event) => {
      const buttons = [...list.querySelectorAll('button')];
      const here = buttons.indexOf(document.activeElement);
      const to = { ArrowDown: here + 1, ArrowRight: here + 1, ArrowUp: here - 1, ArrowLeft: here - 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (event.key === 'Tab') { event.preventDefault(); dialog.close(); }
      if (to === undefined) return;
      event.preventDefault();
      buttons[(to + buttons.length) % buttons.length].focus();
    } }, list);
  document.body.append(dialog);
  anchor.setAttribute('aria-expanded', 'true');
  dialog.showModal();
  // Beside the anchor, inside the window. Phones show a sheet instead (by style sheet).
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = dialog;
  const x = at ? at.x : box.right - width;
  const y = at ? at.y : box.bottom + 4;
  dialog.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, x))}px`;
  dialog.style.top = `${Math.max(8, y + height > innerHeight - 8 ? Math.max(8, (at ? at.y : box.top) - height - 4) : y)}px`;
  (list.querySelector(':scope > button') ?? list.querySelector('button'))?.focus();
}
