/** Ways into a room, for those who manage it: links, and people who ask. */

import { h, icon, toast } from './dom.js';
import { count, explain, momentOf } from './format.js';
import { listDialog, orDone, rowButton } from './lists.js';

const PAGE = 50;
const DAY = 86_400;
const LIVES = [[3_600, 'an hour'], [DAY, 'a day'], [7 * DAY, 'a week'], [30 * DAY, '30 days'], [365 * DAY, 'a year']];
const USES = [[0, 'any number of people'], [1, 'one person'], [5, '5 people'], [25, '25 people'], [100, '100 people']];
const wrong = (text) => toast(text, { kind: 'error' });

/** The address that leads into a room. */
const addressOf = (code) => `${location.origin}/#join=${code}`;

/** Profiles of the users, by id. */
export async function profiles(chat, ids) {
  const users = ids.length ? await chat.account.users([...new Set(ids)]) : [];
  chat.learn(users);
  return new Map(users.map((user) => [user.user, user]));
}

export const calledBy = (user) => user?.display_name || user?.user_name || 'Somebody';

const choose = (id, label, options, chosen) => {
  const select = h('select', { id }, options.map(([value, text]) => h('option', { value: String(value), selected: value === chosen }, text)));
  return { select, field: h('div', {}, h('label', { for: id }, label), select) };
};

/** Makes, shows and ends the links of a room. */
export function inviteByLink(chat, room) {
  const { lynk } = chat;
  const life = choose('link-life', 'Works for', LIVES, 7 * DAY);
  const uses = choose('link-uses', 'Lets in', USES, 0);
  const made = h('div', { class: 'made', role: 'status' });
  const make = h('button', { type: 'button', class: 'primary', onclick: async () => {
    make.disabled = true;
    try {
      const { code, until } = await lynk.link(room.id, { seconds: Number(life.select.value), uses: Number(uses.select.value) || undefined });
      show(code, until);
      await links.again();
    } catch (error) {
      wrong(error.code === 'limit_reached' ? 'This room has as many links as it may have. End one that is not needed.' : explain(error));
    }
    make.disabled = false;
  } }, 'Make a link');
  const show = (code, until) => {
    const address = h('input', { id: 'link-made', readonly: true, dir: 'ltr', value: addressOf(code), onfocus: () => address.select() });
    const copy = h('button', { type: 'button', class: 'secondary', onclick: async () => {
      try { await navigator.clipboard.writeText(address.value); toast('The link is copied', { stay: 2_000 }); } catch { address.focus(); wrong('Your browser does not allow copying here. The link is selected: copy it yourself.'); }
    } }, icon('copy'), 'Copy');
    made.replaceChildren(h('label', { for: address.id }, 'The new link'), h('div', { class: 'with-button' }, address, copy), h('p', { class: 'hint' }, `It is shown only now. Whoever has it can join until ${momentOf(until)}.`));
    copy.focus();
  };
  const links = listDialog('Invite by a link', {
    head: [h('div', { class: 'pair' }, life.field, uses.field), h('div', { class: 'actions' }, make), made, h('h3', {}, 'Links that work')],
    empty: 'There are no links.',
    load: async () => {
      const page = await lynk.links(room.id);
      const users = await profiles(chat, page.links.map(({ by }) => by)).catch(() => new Map());
      return { items: page.links.map((link) => ({ ...link, maker: link.by === chat.me ? 'you' : calledBy(users.get(link.by)) })) };
    },
    row: ({ link, until, uses: used, max_uses: most, maker }, gone) => h('li', { class: 'still' }, icon('link'),
      h('span', { class: 'person' }, h('span', {}, most ? `${used} of ${most} joined` : `${count(used, 'person', 'people')} joined`),
        h('span', { class: 'hint' }, `Until ${momentOf(until)}, made by ${maker}`)),
      rowButton('End', `the link until ${momentOf(until)}`, async () => { await orDone(lynk.unlink(room.id, link)); gone(); made.replaceChildren(); toast('The link is ended'); }, wrong)),
  });
}

/** Who asks to become a member of a room by invitation. `changed` is called when one was answered. */
export function requestsOf(chat, room, changed) {
  const { lynk } = chat;
  const dialog = listDialog('Requests to join', {
    empty: 'Nobody asks to join.',
    load: async (after) => {
      const { requests, more } = await lynk.requests(room.id, { limit: PAGE, ...(after && { after }) });
      const users = await profiles(chat, requests.map(({ user }) => user)).catch(() => new Map());
      return { items: requests.map((request) => ({ ...request, profile: users.get(request.user) })), next: more ? requests.at(-1).user : undefined };
    },
    row: ({ user, at, text, profile }, gone) => {
      const name = calledBy(profile);
      const answer = (label, act, said, kind) => rowButton(label, name, async () => {
        let open = true;
        try { await act(); } catch (error) { if (!['conflict', 'user_not_found'].includes(error.code)) throw error; open = false; }
        gone();
        toast(open ? said : `The request of ${name} is not open any more`);
        changed?.();
      }, (why) => wrong(why), kind);
      return h('li', { class: 'still asks' }, chat.faces.person(user, name, { size: 'small' }),
        h('span', { class: 'person' }, h('span', { dir: 'auto' }, name), h('span', { class: 'hint' }, profile?.user_name && `@${profile.user_name}, `, `asked ${momentOf(at)}`), text && h('span', { class: 'quoted', dir: 'auto' }, text)),
        h('span', { class: 'answers' }, answer('Accept', () => lynk.acceptRequest(room.id, user), `${name} is a member now`, 'primary'), answer('Decline', () => lynk.declineRequest(room.id, user), `${name} was declined`)));
    },
  });
  const off = chat.on('request', ({ room: id }) => { if (id !== room.id) return; if (dialog.element.isConnected) dialog.again(); else off(); });
}

/** Tells whoever it concerns of a request: that there is one, or that one's own was declined. `window` opens what is about it. */
export async function tellRequest(chat, { room: id, user, state }, show) {
  const room = chat.rooms.get(id);
  if (state === 'declined') {
    toast('A request of yours to join a room was declined. “Find a room” shows which one.', { stay: 12_000 });
  } else if (room) {
    const users = await profiles(chat, [user]).catch(() => new Map());
    toast(`${calledBy(users.get(user))} asks to join ${chat.title(room)}`, { stay: 12_000, action: { label: 'Show', run: () => show(room) } });
  }
}
