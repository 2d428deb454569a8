/** One picture, as large as the window allows. */

import { h, iconButton } from './dom.js';
import { bytesOf, explain } from './format.js';

/** Shows `pictures` from the one at `at` on. `files` has the links. */
export function openViewer(files, pictures, at) {
  const before = document.activeElement;
  const image = h('img', { alt: '', decoding: 'async', draggable: 'false' });
  const said = h('p', { class: 'viewer-said', role: 'status' });
  const title = h('h2', { id: 'viewer-title', dir: 'auto' });
  const about = h('span', { class: 'hint' });
  let turn = 0;
  const show = async (to, fresh = false) => {
    const mine = ++turn;
    at = to;
    const file = pictures[at];
    title.textContent = file.name || 'Picture';
    about.textContent = [pictures.length > 1 && `${at + 1} of ${pictures.length}`, file.width && `${file.width} × ${file.height}`, file.bytes && bytesOf(file.bytes)].filter(Boolean).join(' · ');
    for (const [button, on] of [[back, at > 0], [next, at < pictures.length - 1]]) button.disabled = !on;
    // A button that is switched off would keep the focus and no key.
    if (!dialog.contains(document.activeElement) || document.activeElement.disabled) close.focus();
    image.hidden = true;
    said.textContent = 'Loading…';
    try {
      const url = await files.link(file.id, 2, fresh);
      if (mine !== turn) return;
      image.onload = () => { if (mine === turn) { image.hidden = false; image.alt = file.name || 'Picture'; said.textContent = ''; } };
      image.onerror = () => { if (mine === turn) { if (fresh) said.textContent = 'The picture cannot be loaded. Close this and try again.'; else show(at, true); } };
      image.src = url;
    } catch (error) {
      if (mine === turn) said.textContent = error.code === 'attachment_not_found' ? 'This picture is not there any more.' : explain(error);
    }
  };
  const step = (by) => { if (pictures[at + by]) show(at + by); };
  const back = iconButton('back', 'Previous picture', () => step(-1));
  const next = iconButton('next', 'Next picture', () => step(1));
  const close = iconButton('close', 'Close', () => dialog.close());
  const dialog = h('dialog', { class: 'viewer', 'aria-labelledby': title.id,
    onclick: (event) => { if (event.target === dialog || event.target === stage) dialog.close(); },
    onkeydown: (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) { event.preventDefault(); step(by); }
    },
    onclose: () => { turn++; dialog.remove(); if (before?.isConnected) before.focus({ preventScroll: true }); } });
  const stage = h('div', { class: 'viewer-stage' }, image, said);
  dialog.append(h('header', {}, h('div', { class: 'person' }, title, about), pictures.length > 1 && [back, next],
    iconButton('save', 'Save the picture', () => files.save(pictures[at])), close), stage, h('div', { class: 'dialog-toasts', role: 'status' }));
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
  show(at);
}
