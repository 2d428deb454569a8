/** People: one's own profile, and finding others. */

import { nameLine } from './available.js';
import { formDialog } from './dialogs.js';
import { $, h, toast } from './dom.js';
import { explain } from './format.js';
import { pictureField } from './picture.js';

/** Milliseconds without a key until people are looked for. */
const PAUSE_MS = 250;
const BIO_MAX = 500;

/** Edits the profile of who is signed in. */
export function editProfile(chat, done) {
  const me = chat.account.session.user;
  const name = h('input', { id: 'field-display-name', name: 'display_name', autocomplete: 'name', maxlength: 64, value: me.display_name ?? '', 'aria-describedby': 'dialog-error' });
  const user = h('input', { id: 'field-user-name', name: 'user_name', autocomplete: 'username', autocapitalize: 'none', spellcheck: 'false', maxlength: 32, value: me.user_name, 'aria-describedby': 'user-name-hint dialog-error' });
  const bio = h('textarea', { id: 'field-bio', name: 'bio', rows: 4, maxlength: BIO_MAX, 'aria-describedby': 'bio-hint dialog-error' }, me.bio ?? '');
  const picture = pictureField(chat, { purpose: 'avatar', face: (there) => chat.faces.person(me.user, me.display_name || me.user_name, { size: 'big', picture: there ? me.avatar : null }), had: Boolean(me.avatar), whose: 'of you' });
  const typed = () => user.value.normalize('NFKC').trim().replace(/^@/, '');
  const own = () => typed().toLocaleLowerCase() === me.user_name.toLocaleLowerCase();
  const line = nameLine(user, () => (!own() && typed().length >= 3 ? chat.account.userName(typed()) : undefined),
    ({ available, reason, message }) => (available ? `${typed()} is free.` : reason === 'taken' ? `Somebody is called ${typed()} already, or was lately.` : message));
  formDialog({
    title: 'Your profile', label: 'Save', onclose: () => picture.end(),
    fields: [picture.element, h('label', { for: name.id }, 'Your name'), name, h('label', { for: user.id }, 'User name'), user, line,
      h('p', { class: 'hint', id: 'user-name-hint' }, 'Others find you by it. It may change three times in 30 days.'),
      h('label', { for: bio.id }, 'About you'), bio, h('p', { class: 'hint', id: 'bio-hint' }, 'Everybody who can see you reads it.')],
    submit: async () => {
      const wanted = { display_name: name.value.trim(), user_name: typed(), bio: bio.value };
      const changed = Object.fromEntries(Object.entries(wanted).filter(([key, value]) => value !== (me[key] ?? '')));
      const avatar = await picture.taken();
      if (avatar !== undefined) changed.avatar = avatar;
      const saved = Object.keys(changed).length ? await chat.account.change(changed) : me;
      picture.used();
      chat.learn([saved]);
      return saved;
    },
    done: (saved) => { toast('Your profile is saved'); done?.(saved); },
  });
}

/** A list for below `input` of people whose names begin as typed; `pick` gets the one that is chosen. */
export function foundPeople(input, chat, pick) {
  const said = h('p', { class: 'hint', role: 'status' });
  const list = h('ul', { class: 'people found', 'aria-label': 'People found' });
  const element = h('div', { class: 'finder' }, said, list);
  let timer;
  let turn = 0;
  const show = (users, typed) => {
    said.textContent = users.length ? '' : typed ? 'Nobody is found by that. Whoever hides from the search is found by the whole user name.' : '';
    list.replaceChildren(...users.map((user) => h('li', {}, h('button', { type: 'button', onclick: (event) => choose(event.currentTarget, user) },
      chat.faces.person(user.user, user.display_name || user.user_name, { size: 'small', picture: user.avatar }),
      h('span', { class: 'person' }, h('span', { dir: 'auto' }, user.display_name || user.user_name), h('span', { class: 'hint' }, `@${user.user_name}`))))));
  };
  const choose = async (button, user) => {
    button.disabled = true;
    try { await pick(user); } catch (error) {
      button.disabled = false;
      toast(explain(error), { kind: 'error' });
    }
  };
  const look = () => {
    const mine = ++turn;
    clearTimeout(timer);
    const typed = input.value.trim().replace(/^@/, '');
    if ([...typed].length < 2) { show([]); return; }
    timer = setTimeout(async () => {
      const { users } = await chat.account.search(typed, { limit: 8 }).catch(() => ({}));
      if (mine === turn && users && element.isConnected) show(users, typed);
    }, PAUSE_MS);
  };
  input.addEventListener('input', look);
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown' || !list.firstElementChild) return;
    event.preventDefault();
    $('button', list).focus();
  });
  list.addEventListener('keydown', (event) => {
    const buttons = [...list.querySelectorAll('button')];
    const to = { ArrowDown: buttons.indexOf(document.activeElement) + 1, ArrowUp: buttons.indexOf(document.activeElement) - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    (buttons[to] ?? (to < 0 ? input : buttons.at(-1))).focus();
  });
  return element;
}
