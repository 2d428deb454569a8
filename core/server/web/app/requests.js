/** Conversations that somebody without a room in common began: who waits for an answer, and the answer. */

import { confirmDialog } from './dialogs.js';
import { h, icon, toast } from './dom.js';
import { briefOf, count, explain, momentOf } from './format.js';
import { listDialog, rowButton } from './lists.js';

/** Messages that one may send before one was accepted. */
const FIRST = 3;
/** Milliseconds after which one may ask anew; what was sent before was of another request. */
const ANEW_MS = 30 * 86_400_000;
/** Requests that are listed at a time. */
const PAGE = 20;
const wrong = (text) => toast(text, { kind: 'error' });

/** How many messages are left until an answer, as far as is known here. */
export const left = (chat, room) => Math.max(0, FIRST - room.order.filter((seq) => { const item = room.items.get(seq); return item.ev === 'message' && item.from === chat.me && item.time > Date.now() - ANEW_MS; }).length
  - chat.waiting(room.id).filter((entry) => !entry.failed).length);

async function accept(chat, room) {
  await chat.answer(room.id, true);
  toast(`You can write to ${chat.title(room)} now`);
}

async function decline(chat, room) {
  const name = chat.title(room);
  await chat.answer(room.id, false);
  toast(`Declined. ${name} is not told.`);
}

/** Asks, then blocks. */
function block(chat, room) {
  const name = chat.title(room);
  confirmDialog({ title: `Block ${name}?`, about: 'Neither of you can write to the other, nor add the other to a room. The request goes, and they are not told.', label: 'Block', run: async () => {
    await chat.block(room);
    toast(`${name} is blocked`);
  } });
}

/** What stands in place of the message field of a request: who it is, and the answers. */
export function answerBar(chat, room) {
  const name = chat.title(room);
  const error = h('p', { class: 'error', role: 'alert' });
  const button = (label, kind, run) => {
    const one = h('button', { type: 'button', class: kind, onclick: async () => {
      error.replaceChildren();
      one.disabled = true;
      try { await run(chat, room); } catch (failure) { error.replaceChildren(icon('warning'), h('span', {}, explain(failure))); }
      one.disabled = false;
    } }, label, h('span', { class: 'unseen' }, ` ${name}`));
    return one;
  };
  return h('section', { class: 'answer', 'aria-label': `Request of ${name}`, tabindex: '-1' },
    h('p', {}, h('strong', { dir: 'auto' }, name), ' wants to write to you. You share no room.'),
    h('p', { class: 'hint' }, 'They do not see whether you are here or have read this until you accept.'), error,
    h('div', { class: 'answers' }, button('Accept', 'primary', accept), button('Decline', 'secondary', decline), button('Block', 'secondary danger', async () => block(chat, room))));
}

/** What stands above the message field of who asked. */
export function waitLine(chat, room) {
  const name = chat.title(room);
  const more = left(chat, room);
  return h('p', { class: 'wait', role: 'status' }, icon('clock', 'small'), more === FIRST ? `${name} gets this as a request. You have ${count(more, 'message')} until it is accepted.`
    : `Waits until ${name} accepts. ${more ? `${more} of ${FIRST} messages left.` : `You have sent all ${FIRST} messages.`}`);
}

/** The list of those who wait for an answer. `go` gets the conversation to open. */
export function showRequests(chat, go) {
  const waiting = () => chat.requests();
  const said = (room) => {
    const texts = room.order.map((seq) => room.items.get(seq)).filter((item) => item.ev === 'message' && !item.deleted);
    return { text: texts.map((item) => briefOf(item)).join('\n'), at: room.active };
  };
  const sign = () => JSON.stringify(waiting().map((room) => [room.id, chat.title(room), chat.faces.shown(room), said(room)]));
  let last = sign();
  const requests = listDialog('Message requests', {
    about: 'People with whom you share no room. They are not told whether you read what they wrote, nor that you declined.',
    empty: 'Nobody waits for an answer.',
    load: async (from = 0) => {
      const items = waiting().slice(from, from + PAGE);
      await Promise.all(items.filter((room) => !room.ready).map((room) => chat.older(room.id)));
      return { items, next: waiting().length > from + PAGE ? from + PAGE : undefined };
    },
    row: (room) => {
      const name = chat.title(room);
      const user = chat.users.get(room.peer);
      const { text, at } = said(room);
      const open = () => { requests.dialog.close(); go(room); };
      return h('li', { class: 'still asks' }, chat.faces.of(room, { size: 'small' }),
        h('span', { class: 'person' }, h('span', { dir: 'auto' }, name), h('span', { class: 'hint' }, [user?.user_name && `@${user.user_name}`, 'you share no room', at && momentOf(at)].filter(Boolean).join(', ')),
          text && h('span', { class: 'quoted', dir: 'auto' }, text), rowButton('Show', `what ${name} wrote`, async () => open(), wrong, 'link')),
        h('span', { class: 'answers' }, rowButton('Accept', name, async () => { await accept(chat, room); open(); }, wrong, 'primary'),
          rowButton('Decline', name, async () => decline(chat, room), wrong), rowButton('Block', name, async () => block(chat, room), wrong, 'secondary danger')));
    },
    onclose: () => { for (const off of offs) off(); },
  });
  // Somebody may ask, or be answered on another device, while it is open.
  const look = async () => {
    const now = sign();
    if (now === last) return;
    last = now;
    await requests.again();
    // Whoever answered one goes on with the next.
    if (requests.dialog.open && document.activeElement === document.body) (requests.list.querySelector('button') ?? requests.dialog.querySelector('header button')).focus();
  };
  const offs = ['rooms', 'users'].map((name) => chat.on(name, look));
}

/** The row of the list of conversations that leads there; nothing while nobody waits. */
export function requestsRow(chat, go) {
  const number = chat.requests().length;
  return number > 0 && { key: 'requests', sign: String(number), make: () => h('li', {}, h('button', { type: 'button', class: 'room requests', 'aria-haspopup': 'dialog', onclick: () => showRequests(chat, go) },
    h('span', { class: 'requests-icon', 'aria-hidden': 'true' }, icon('person')), h('span', { class: 'room-text' }, h('span', { class: 'room-title' }, 'Message requests'), h('span', { class: 'room-bottom' }, count(number, 'person waits', 'people wait'))))) };
}
