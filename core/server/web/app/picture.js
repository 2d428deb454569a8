/** The picture of oneself or of a room, in a dialog: chosen, put to the server while one goes on, and set together with the rest. */

import { h, icon } from './dom.js';
import { preview } from './faces.js';
import { bytesOf } from './format.js';
import { helps, why } from './refused.js';

/** What is offered to be chosen; the server has the last word. */
const TYPES = 'image/jpeg,image/png,image/gif,image/webp';

/**
 * The part of a form. `face(there)` makes the picture as it is, or the letters alone, `had` tells whether there is one, `whose` is said to who does not see it. `taken()`
 * resolves with what to set: `undefined` for no change, `null` for none, or an upload that is there; it rejects with why there is none.
 * `used()` says that it was set: otherwise `end()` gives it up.
 */
export function pictureField(chat, { purpose, room, face, had, whose }) {
  let upload;
  let running;
  let failed;
  let removed = false;
  const shown = h('div', { class: 'picture-shown' }, face(true));
  const said = h('p', { class: 'hint' });
  const bar = h('progress', { max: '100', value: 0, hidden: true, 'aria-label': 'Sending the picture' });
  const choose = h('input', { type: 'file', accept: TYPES, hidden: true, tabindex: '-1', 'aria-hidden': 'true', onchange: () => { if (choose.files[0]) begin(choose.files[0]); choose.value = ''; } });
  const pick = h('button', { type: 'button', class: 'secondary', onclick: () => choose.click() }, icon('image'), h('span', {}, ''), h('span', { class: 'unseen' }, ` ${whose}`));
  const again = h('button', { type: 'button', class: 'link', hidden: true, onclick: () => { pick.focus(); run(); } }, 'Try again');
  const drop = h('button', { type: 'button', class: 'link danger', onclick: () => {
    const back = upload && had;
    give();
    removed = !back && had;
    if (removed) shown.replaceChildren(face(false));
    show();
    pick.focus();
  } });

  const give = () => { upload?.cancel(); upload = running = failed = undefined; shown.replaceChildren(face(true)); };

  const show = () => {
    const there = upload ? true : had && !removed;
    pick.children[1].textContent = there ? 'Change the picture' : 'Choose a picture';
    drop.hidden = !there;
    drop.textContent = upload ? (had ? 'Keep the old one' : 'Do not use it') : 'Remove the picture';
    const state = upload?.state;
    bar.hidden = !upload || Boolean(failed) || state === 'ready';
    if (state === 'looking') bar.removeAttribute('value'); else bar.value = upload ? Math.floor((upload.sent / Math.max(1, upload.bytes)) * 100) : 0;
    again.hidden = !failed || !helps(upload);
    const text = failed ?? (removed ? 'It is removed when you save.' : state === 'ready' ? 'It is set when you save.' : state === 'looking' ? 'Is being checked…' : upload ? `${bytesOf(upload.sent)} of ${bytesOf(upload.bytes)}` : '');
    said.classList.toggle('bad', Boolean(failed));
    if (failed) said.setAttribute('role', 'alert'); else said.setAttribute('role', 'status');
    if (said.textContent !== text) said.textContent = text;
  };

  const run = () => {
    const mine = upload;
    failed = undefined;
    running = mine.start().then((media) => media.media, async (error) => {
      const text = error.code === 'cancelled' ? '' : await why(chat, mine, { face: true });
      if (mine === upload) failed = text;
      throw new Error(text);
    }).finally(() => { if (mine === upload) show(); });
    running.catch(() => {});
    show();
  };

  const begin = (file) => {
    give();
    removed = false;
    upload = chat.account.upload(file, { purpose, ...(room && { room }) });
    let last = '';
    upload.on('change', (now) => {
      const sign = `${now.state} ${Math.floor((now.sent / Math.max(1, now.bytes)) * 100)}`;
      if (now === upload && sign !== last) { last = sign; show(); }
    });
    shown.replaceChildren(face(false));
    preview(shown.querySelector('.avatar'), file);
    run();
  };

  show();
  return {
    element: h('div', { class: 'picture-field' }, shown, h('div', { class: 'person' }, h('div', { class: 'actions' }, pick, drop), bar, said, again), choose),
    taken: async () => (upload ? running : removed ? null : undefined),
    used: () => { upload = undefined; },
    end: () => { upload?.cancel(); },
  };
}
