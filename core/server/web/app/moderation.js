/** What those who manage a room see and do about its people: bans, reports, and what was done. */

import { h, toast } from './dom.js';
import { avatar, momentOf } from './format.js';
import { calledBy, profiles } from './invite.js';
import { listDialog, rowButton } from './lists.js';

const PAGE = 50;
const wrong = (text) => toast(text, { kind: 'error' });

/** Who may not come back, why, and a way to lift it. */
export function bansOf(chat, room) {
  listDialog('Banned people', {
    empty: 'Nobody is banned.',
    load: async (after) => {
      const { bans, more } = await chat.lynk.request('bans', { room: room.id, limit: PAGE, ...(after && { after }) });
      const users = await profiles(chat, bans.map(({ user }) => user));
      return { items: bans.map((ban) => ({ ...ban, name: calledBy(users.get(ban.user)) })), next: more ? bans.at(-1).user : undefined };
    },
    row: ({ user, name, reason, until }, gone) => h('li', { class: 'still' }, avatar(user, name, { size: 'small' }),
      h('span', { class: 'person' }, h('span', { dir: 'auto' }, name), h('span', { class: 'hint', dir: 'auto' }, [reason, until ? `until ${momentOf(until)}` : 'for good'].filter(Boolean).join(', '))),
      rowButton('Lift', `the ban of ${name}`, async () => { await chat.lynk.request('unban', { room: room.id, user }); gone(); toast(`${name} may come back`); }, wrong)),
  });
}
