/** The pinned messages of a room. */

import { h, toast } from './dom.js';
import { briefOf, momentOf } from './format.js';
import { listDialog, orDone, rowButton } from './lists.js';

/** Few at a time: those that are not on the page are asked for one by one. */
const PAGE = 10;
const wrong = (text) => toast(text, { kind: 'error' });

/** Pins a message or takes the pin back. */
export async function pin(chat, room, seq, on) {
  await orDone(chat.lynk.request('pin', { room: room.id, seq, on }));
  const message = room.items.get(seq);
  if (message) message.pinned = on;
}

/** Lists what is pinned, newest first. `show(seq)` goes to a message. */
export function pinsOf(chat, room, show) {
  let pins;
  const find = async (seq) => {
    const known = room.items.get(seq);
    if (known) return known;
    const { events } = await chat.lynk.history(room.id, { before: seq + 1, limit: 1 });
    return events.find((event) => event.seq === seq);
  };
  const list = listDialog('Pinned messages', {
    empty: room.manages ? 'Nothing is pinned. The menu of a message pins it.' : 'Nothing is pinned.',
    load: async (from = 0) => {
      if (!from) ({ pins } = await chat.lynk.request('pins', { room: room.id }));
      const messages = [];
      for (const { seq } of pins.slice(from, from + PAGE)) messages.push(await find(seq));
      const items = messages.filter((message) => message && !message.deleted);
      return { items, next: from + PAGE < pins.length ? from + PAGE : undefined };
    },
    row: (message, gone) => {
      const { seq, from, time } = message;
      const name = chat.name(from);
      return h('li', { class: 'still asks' }, chat.faces.person(from, name, { size: 'small' }),
        h('span', { class: 'person' }, h('span', { class: 'two', dir: 'auto' }, briefOf(message)), h('span', { class: 'hint' }, `${name}, ${momentOf(time)}`)),
        h('span', { class: 'answers' }, rowButton('Show', `the message of ${name}`, async () => { list.dialog.close(); show(seq); }, wrong),
          room.manages && rowButton('Unpin', `the message of ${name}`, async () => { await pin(chat, room, seq, false); gone(); }, wrong)));
    },
  });
}
