/** Ways into a room for who is outside: finding one, asking, a link that somebody gave. */

import { formDialog, openDialog } from './dialogs.js';
import { h, icon, toast } from './dom.js';
import { count, explain, momentOf } from './format.js';
import { listDialog, orDone, pagedList, rowButton } from './lists.js';

/** Milliseconds without a key until rooms are looked for. */
const PAUSE_MS = 250;
const TEXT_MAX = 300;
/** As many members stand for as many or more. */
const MANY = 10_000;

const KINDS = { public: 'Everybody can join.', invite_only: 'By invitation.', private: 'Hidden. By invitation.' };
const wrong = (text) => toast(text, { kind: 'error' });
const fold = (name) => name.trim().normalize('NFKC').toLocaleLowerCase();
const membersOf = (members) => (members >= MANY ? `${MANY.toLocaleString()} or more members` : count(members, 'member'));

const face = (chat, room, name, about, ...more) => h('li', { class: 'still' }, chat.faces.room(room, name, { size: 'small' }),
  h('span', { class: 'person' }, h('span', { dir: 'auto' }, name), h('span', { class: 'hint two', dir: 'auto' }, about)), more);

/** Public rooms by the beginnings of their names, one by invitation by its whole name, and the user's own requests. `go` gets the room to open. */
export function findRoom(chat, go) {
  const { lynk } = chat;
  let typed = '';
  let timer;
  const field = h('input', { type: 'search', id: 'find-room', autocomplete: 'off', maxlength: 100, 'aria-describedby': 'find-room-hint', oninput: () => {
    clearTimeout(timer);
    timer = setTimeout(() => { typed = field.value.trim(); found.again(); }, PAUSE_MS);
  }, onkeydown: (event) => {
    if (event.key !== 'ArrowDown') return;
    event.preventDefault();
    found.list.querySelector('button:not(:disabled)')?.focus();
  } });
  const open = (room) => { found.dialog.close(); go(room); };

  const known = ({ name, avatar }) => ({ name, kind: 'public', avatar: avatar ?? undefined });
  const publicRow = (room) => face(chat, room, room.name, [membersOf(room.members), room.description].filter(Boolean).join(' · '),
    room.member ? rowButton('Open', room.name, async () => open(chat.rooms.get(room.room) ?? chat.enter(room.room, known(room))), wrong)
      : room.open ? rowButton('Join', room.name, async () => open(await chat.joinRoom(room.room, known(room))), wrong)
        : h('span', { class: 'hint' }, 'Full'));
  const hiddenRow = ({ room, name }) => face(chat, { room, avatar: chat.rooms.get(room)?.avatar }, name, KINDS.invite_only,
    chat.rooms.has(room) ? rowButton('Open', name, async () => open(chat.rooms.get(room)), wrong)
      : rowButton('Ask to join', name, async () => askToJoin(chat, { room, name }, () => mine.again()), wrong));

  /** A room by invitation is found by its whole name alone. */
  const byName = async (name, rooms) => {
    if (!name || rooms.some((room) => fold(room.name) === fold(name))) return [];
    const room = await lynk.find(name).then((reply) => reply.room, () => undefined);
    if (!room || rooms.some((one) => one.room === room)) return [];
    const shut = await lynk.request('about', { room }).then(() => chat.rooms.has(room), (error) => error.code === 'not_a_member');
    return shut ? [{ room, name, hidden: true }] : [];
  };
  const found = listDialog('Find a room', {
    head: [h('label', { for: field.id }, 'Room name'), field, h('p', { class: 'hint', id: 'find-room-hint' }, 'Public rooms are found by the beginning of their names, rooms by invitation by the whole name.')],
    load: async (cursor) => {
      const name = typed;
      const page = await lynk.discover(name, { cursor });
      return { items: cursor ? page.rooms : [...await byName(name, page.rooms), ...page.rooms], next: page.next };
    },
    row: (room) => (room.hidden ? hiddenRow(room) : publicRow(room)), empty: 'No room is found by that.',
    onclose: () => { clearTimeout(timer); off(); },
  });
  const mine = ownRequests(chat);
  found.element.after(mine.element);
  const off = chat.on('request', ({ state }) => { if (state === 'declined') mine.again(); });
  field.focus();
}

/** What the user asked for, as long as there is something. */
function ownRequests(chat) {
  const paged = pagedList({
    label: 'Your requests', empty: 'You have not asked to join any room.',
    load: async (after) => {
      const { requests, next } = await chat.lynk.myRequests({ limit: 20, ...(after && { after }) });
      return { items: requests, next };
    },
    row: ({ room, name = 'A room that is hidden now', avatar, state, at, until, text }, gone) => face(chat, { room, avatar }, name,
      state === 'open' ? `Asked ${momentOf(at)}${text ? `: ${text}` : ''}` : `Declined. You may ask again from ${momentOf(until)} on.`,
      state === 'open' && rowButton('Withdraw', name, async () => { await orDone(chat.lynk.withdrawRequest(room)); gone(); toast('Your request was withdrawn'); }, wrong)),
  });
  paged.again();
  return { ...paged, element: h('section', {}, h('h3', {}, 'Your requests'), paged.element) };
}

/** Asks to become a member of a room by invitation. */
export function askToJoin(chat, { room, name }, done) {
  formDialog({
    title: `Ask to join ${name}`, label: 'Ask', about: 'Those who manage the room see who you are and decide. You become a member as soon as one of them accepts.',
    fields: [h('label', { for: 'field-text' }, 'A word to them (may be left out)'), h('textarea', { id: 'field-text', name: 'text', rows: '3', maxlength: TEXT_MAX, dir: 'auto', 'aria-describedby': 'dialog-error' })],
    submit: async ({ text }) => {
      try { await chat.lynk.requestJoin(room, text.trim().replace(/\r\n?/g, '\n')); } catch (error) {
        const known = { conflict: 'You have asked already. It is under “Your requests”.', forbidden: 'You were declined not long ago. Ask again after some days.', limit_reached: 'Too many requests are open. Withdraw one of yours, or try again later.' }[error.code];
        throw known ? new Error(known) : error;
      }
    },
    done: () => { toast(`You have asked to join ${name}`); done?.(); },
  });
}

/** Where a link leads, and the way in. `go` gets the room. */
export async function openLink(chat, code, go) {
  let about;
  try { about = await chat.lynk.look(code); } catch (error) {
    if (error.code !== 'invalid_code') { wrong(explain(error)); return; }
    openDialog('This link does not work', h('div', {}, h('p', { class: 'about' }, 'It is over, used up, or was never good. Ask whoever gave it to you for a new one.')));
    return;
  }
  const { room, name, kind, description, members, member } = about;
  const known = { name, kind, avatar: about.avatar ?? undefined };
  const error = h('p', { class: 'error', role: 'alert' });
  const close = () => dialog.close();
  const yes = h('button', { type: 'button', class: 'primary', onclick: async () => {
    yes.disabled = true;
    try {
      const entered = member || chat.rooms.has(room) ? chat.enter(room, known) : await chat.joinRoom(room, known, code);
      close();
      go(entered);
    } catch (failure) {
      const text = { limit_reached: 'The room is full. Ask somebody in it to make room for one more.', invalid_code: 'The link ended just now. Ask for a new one.' }[failure.code] ?? explain(failure);
      error.replaceChildren(icon('warning'), h('span', {}, text));
      yes.disabled = false;
      yes.focus();
    }
  } }, member ? 'Open' : 'Join');
  const dialog = openDialog(member ? 'You are in this room' : 'You are invited', h('div', {},
    h('div', { class: 'face' }, chat.faces.room(about, name, { size: 'big', code }), h('strong', { dir: 'auto' }, name), h('span', { class: 'hint' }, `${membersOf(members)}. ${KINDS[kind] ?? ''}`),
      description && h('p', { class: 'room-about', dir: 'auto' }, description)), error,
    h('footer', {}, h('button', { type: 'button', class: 'secondary', onclick: close }, 'Not now'), yes)));
  yes.focus();
}
