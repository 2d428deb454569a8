/** Small dialogs: new conversations, questions. */

import { nameLine } from './available.js';
import { askToJoin } from './discover.js';
import { foundPeople } from './people.js';
import { pictureField } from './picture.js';
import { h, icon, iconButton, $ } from './dom.js';
import { explain, spanOf } from './format.js';

let opened = 0;

/** A dialog with a title; closes on Escape and on a click beside it. Returns it, shown. */
export function openDialog(title, body, { wide = false, onclose } = {}) {
  // One may open above another, and each has its own name.
  const named = `dialog-title-${++opened}`;
  const dialog = h('dialog', { class: wide ? 'dialog wide' : 'dialog', 'aria-labelledby': named,
    onclick: (event) => { if (event.target === dialog) dialog.close(); },
    onclose: () => {
      // What is said in it stays to be read.
      $('#toasts').append(...dialog.querySelectorAll('.dialog-toasts > *'));
      dialog.remove();
      onclose?.();
    } },
  h('div', { class: 'dialog-body' },
    h('header', {}, h('h2', { id: named }, title), iconButton('close', 'Close', () => dialog.close())),
    body, h('div', { class: 'dialog-toasts', role: 'status' })));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A dialog that is a form. `submit` gets the form's values and may reject; `done` what it resolved with. */
export function formDialog({ title, about, fields, label, submit, done, onclose }) {
  const error = h('p', { class: 'error', role: 'alert', id: 'dialog-error' });
  const button = h('button', { type: 'submit', class: 'primary' }, label);
  const form = h('form', { novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    error.replaceChildren();
    button.disabled = true;
    form.setAttribute('aria-busy', 'true');
    try {
      const result = await submit(Object.fromEntries(new FormData(form)));
      dialog.close();
      done?.(result);
    } catch (failure) {
      error.replaceChildren(icon('warning'), h('span', {}, explain(failure)));
      $('input:not([hidden]), textarea', form)?.focus();
    } finally {
      button.disabled = false;
      form.removeAttribute('aria-busy');
    }
  } }, about && h('p', { class: 'about' }, about), ...fields, error,
  h('footer', {}, h('button', { type: 'button', class: 'secondary', onclick: () => dialog.close() }, 'Cancel'), button));
  const dialog = openDialog(title, form, { onclose });
  $('input:not([hidden])', form)?.focus();
  return dialog;
}

const text = (name, label, props = {}) => [h('label', { for: `field-${name}` }, label), h('input', { id: `field-${name}`, name, autocomplete: 'off', 'aria-describedby': 'dialog-error', ...props })];
const say = (message) => { throw new Error(message); };

export function messagePerson(chat, done, typed = '') {
  const [label, field] = text('user', 'User name', { autocapitalize: 'none', spellcheck: 'false', value: typed, maxlength: 64 });
  const dialog = formDialog({
    title: 'Message a person', about: 'Enter a name, or the user name. Nobody is found by a phone number.', label: 'Start', done,
    fields: [label, field, foundPeople(field, chat, async (user) => {
      chat.learn([user]);
      const room = await chat.direct(user.user);
      dialog.close();
      done(room);
    })],
    submit: ({ user }) => {
      const name = user.trim().replace(/^@/, '');
      if (!name) say('Enter a user name.');
      if (name.toLocaleLowerCase() === chat.account.session.user.user_name.toLocaleLowerCase()) say('That is you. Enter somebody else’s user name.');
      return chat.directByName(name);
    },
  });
}

export function joinRoom(chat, done, typed = '') {
  formDialog({
    title: 'Join a room', about: 'Enter the room’s whole name, or the link that somebody gave you, or its code. A room by invitation takes a request.', label: 'Join',
    fields: text('name', 'Room name or code', { value: typed, maxlength: 200 }),
    submit: async ({ name: entered }) => {
      // The address of a link is as good as the code in it.
      const name = /#join=([0-9a-f]{64})$/i.exec(entered.trim())?.[1] ?? entered.trim();
      if (!name) say('Enter the name of a room.');
      try { return { room: await chat.join(name) }; } catch (error) {
        if (error.room && ['not_a_member', 'forbidden'].includes(error.code)) return { ask: { room: error.room, name } };
        throw error;
      }
    },
    done: ({ room, ask }) => (ask ? askToJoin(chat, ask) : done(room)),
  });
}

export function createRoom(chat, done) {
  const choice = (value, label, about, checked) => h('label', { class: 'choice' }, h('input', { type: 'radio', name: 'kind', value, checked }), h('span', {}, h('strong', {}, label), h('span', { class: 'hint' }, about)));
  const [label, field] = text('name', 'Room name', { maxlength: 100 });
  // Private rooms may share a name: nobody finds them by it.
  const ask = (name) => (name.trim() && $('input[name=kind]:checked', kinds).value !== 'private' ? chat.account.roomName(name.trim()) : undefined);
  const line = nameLine(field, ask, ({ available, reason, message }) => (available ? 'No other room has this name.' : reason === 'taken' ? 'Another room has this name.' : message));
  const kinds = h('fieldset', { onchange: line.look }, h('legend', {}, 'Who can come in'),
    choice('public', 'Everybody', 'Whoever knows the name can join.', true),
    choice('invite_only', 'By invitation', 'The name can be found; members add others.'),
    choice('private', 'Private', 'Hidden; members add others.'));
  formDialog({
    title: 'Create a room', label: 'Create', done,
    fields: [label, field, line, kinds],
    submit: ({ name, kind }) => (name.trim() ? chat.create(name.trim(), kind) : say('Give the room a name.')),
  });
}

/** Seconds between two messages of a member that can be chosen. */
const SLOW = [0, 5, 10, 30, 60, 300, 900, 3_600];

const select = (name, label, options, chosen) => [h('label', { for: `field-${name}` }, label),
  h('select', { id: `field-${name}`, name, 'aria-describedby': 'dialog-error' }, options.map(([value, shown]) => h('option', { value: String(value), selected: value === chosen }, shown)))];

/** Changes what a room is. `done` gets the room. */
export function editRoom(chat, room, done) {
  const kind = (value, label, about) => h('label', { class: 'choice' }, h('input', { type: 'radio', name: 'kind', value, checked: room.kind === value }), h('span', {}, h('strong', {}, label), h('span', { class: 'hint' }, about)));
  const limit = chat.lynk.hello?.limits?.room_description_chars ?? 500;
  const picture = pictureField(chat, { purpose: 'room_avatar', room: room.id, face: (there) => chat.faces.room({ id: room.id, avatar: there && room.avatar }, room.name, { size: 'big' }), had: Boolean(room.avatar), whose: 'of the room' });
  const seen = room.visibility ?? (room.kind === 'public' ? 'all' : 'since_join');
  formDialog({
    title: 'Edit the room', label: 'Save', done, onclose: () => picture.end(),
    fields: [picture.element, ...text('name', 'Room name', { maxlength: 100, value: room.name }),
      h('label', { for: 'field-description' }, 'Description'),
      h('textarea', { id: 'field-description', name: 'description', rows: '3', maxlength: limit, dir: 'auto' }, room.description),
      h('fieldset', {}, h('legend', {}, 'Who can come in'),
        kind('public', 'Everybody', 'Whoever knows the name can join.'),
        kind('invite_only', 'By invitation', 'The name can be found; moderators add others.'),
        kind('private', 'Private', 'Hidden; moderators add others.')),
      ...select('visibility', 'New members see', [['all', 'everything that was said'], ['since_join', 'what is said from then on']], seen),
      ...text('max_members', 'Members at most (empty for no limit of its own)', { inputmode: 'numeric', value: room.maxMembers || '' }),
      ...text('retention_days', 'Days after which messages are removed for good (empty for never)', { inputmode: 'numeric', value: room.retentionDays || '' }),
      ...select('slow_mode_seconds', 'A member writes', [...new Set([...SLOW, room.slowMode])].sort((a, b) => a - b).map((seconds) => [seconds, seconds ? `once in ${spanOf(seconds)}` : 'as often as wanted']), room.slowMode),
      h('label', { class: 'choice' }, h('input', { type: 'checkbox', name: 'read_only', checked: room.readOnly }), h('span', {}, h('strong', {}, 'Only moderators post'), h('span', { class: 'hint' }, 'Members read.')))],
    submit: async (values) => {
      const name = values.name.trim();
      if (!name) say('Give the room a name.');
      const most = values.max_members.trim();
      if (most && !/^[1-9][0-9]{0,8}$/.test(most)) say('Enter a number of members, or nothing.');
      const days = values.retention_days.trim();
      if (days && !/^[1-9][0-9]{0,4}$/.test(days)) say('Enter a number of days, or nothing.');
      const wanted = { retention_days: days ? Number(days) : 0, visibility: values.visibility, slow_mode_seconds: Number(values.slow_mode_seconds), name, description: values.description.trim().replace(/\r\n?/g, '\n'), kind: values.kind, max_members: most ? Number(most) : 0, read_only: values.read_only === 'on' };
      const now = { name: room.name, description: room.description, kind: room.kind, max_members: room.maxMembers, read_only: room.readOnly, retention_days: room.retentionDays, visibility: seen, slow_mode_seconds: room.slowMode };
      const changed = Object.fromEntries(Object.entries(wanted).filter(([field, value]) => value !== now[field]));
      const avatar = await picture.taken();
      if (avatar !== undefined) changed.avatar = avatar;
      if (Object.keys(changed).length) await chat.change(room.id, changed);
      picture.used();
      return room;
    },
  });
}

/** A field in a dialog; resolves through `done`. */
export function askText({ title, about, name, label, button, value = '', submit, done }) {
  formDialog({ title, about, label: button, done, fields: text(name, label, { value, maxlength: 100, autocapitalize: 'none' }), submit: (values) => submit(values[name].trim()) });
}

/** A day of the calendar; resolves through `done` with what `submit` makes of the first moment of it. */
export function askDay({ title, about, label, button, submit, done }) {
  const today = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
  formDialog({ title, about, label: button, done, fields: text('day', label, { type: 'date', value: today, max: today }),
    submit: ({ day }) => {
      const millis = day ? new Date(`${day}T00:00`).getTime() : NaN;
      return Number.isNaN(millis) ? say('Choose a day.') : submit(millis);
    } });
}

/** Asks before something that cannot be undone. */
export function confirmDialog({ title, about, label, run, onclose }) {
  const error = h('p', { class: 'error', role: 'alert' });
  const yes = h('button', { type: 'button', class: 'primary danger', onclick: async () => {
    yes.disabled = true;
    try { await run(); dialog.close(); } catch (failure) {
      if (!failure.quiet) error.replaceChildren(icon('warning'), h('span', {}, explain(failure)));
      yes.disabled = false;
    }
  } }, label);
  const dialog = openDialog(title, h('div', {}, h('p', { class: 'about' }, about), error,
    h('footer', {}, h('button', { type: 'button', class: 'secondary', onclick: () => dialog.close() }, 'Cancel'), yes)), { onclose });
  yes.focus();
}
