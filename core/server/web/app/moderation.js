/** What those who manage a room see and do about its people: bans, reports, and what was done. */

import { formDialog } from './dialogs.js';
import { h, toast } from './dom.js';
import { momentOf } from './format.js';
import { calledBy, profiles } from './invite.js';
import { listDialog, orDone, rowButton } from './lists.js';
import { choices, comment, lines, REASONS } from './report.js';

const PAGE = 50;
const LOG_PAGE = 25;
/** The server itself. */
const NOBODY = /^[0-]+$/;
const wrong = (text) => toast(text, { kind: 'error' });

/** A list of people under a measure that stands, and a way to lift it. */
function standing(chat, room, { title, empty, list, lift, of, said }) {
  listDialog(title, {
    empty,
    load: async (after) => {
      const { [list]: items, more } = await chat.lynk.request(list, { room: room.id, limit: PAGE, ...(after && { after }) });
      const users = await profiles(chat, items.map(({ user }) => user));
      return { items: items.map((item) => ({ ...item, name: calledBy(users.get(item.user)) })), next: more ? items.at(-1).user : undefined };
    },
    row: ({ user, name, reason, until }, gone) => h('li', { class: 'still' }, chat.faces.person(user, name, { size: 'small' }),
      h('span', { class: 'person' }, h('span', { dir: 'auto' }, name), h('span', { class: 'hint', dir: 'auto' }, [reason, until ? `until ${momentOf(until)}` : 'until it is lifted'].filter(Boolean).join(', '))),
      rowButton('Lift', `${of} of ${name}`, async () => { await orDone(chat.lynk.request(lift, { room: room.id, user })); gone(); toast(`${name} ${said}`); }, wrong)),
  });
}

/** Who may not come back, and why. */
export const bansOf = (chat, room) => standing(chat, room, { title: 'Banned people', empty: 'Nobody is banned.', list: 'bans', lift: 'unban', of: 'the ban', said: 'may come back' });
/** Who may not write. */
export const mutesOf = (chat, room) => standing(chat, room, { title: 'Muted people', empty: 'Nobody is muted.', list: 'mutes', lift: 'unmute', of: 'the silence', said: 'may write again' });

const OUTCOMES = { dismissed: 'Nothing is wrong with it', message_deleted: 'Delete the message', member_kicked: 'Remove the member from the room', member_banned: 'Ban the member', other: 'Something else was done' };
const CAME_OF_IT = { dismissed: 'Nothing was wrong with it', message_deleted: 'The message was deleted', member_kicked: 'The member was removed', member_banned: 'The member was banned', other: 'Something else was done' };
/** What was to be done was done by somebody else before. */
const DONE_BEFORE = new Set(['conflict', 'message_not_found', 'not_a_member', 'user_not_found']);

/** The reports of a room, with ways to see what they are about and to say what came of them. `show(seq)` goes to a message, `changed` is called when one was resolved. */
export function reportsOf(chat, room, { show, changed }) {
  let state = 'open';
  // Rows of open reports: somebody else may decide on one. What is decided here goes off the list when that is done.
  const listed = new Map();
  const deciding = new Set();
  // What was resolved meanwhile by somebody else.
  const late = new Set();
  const end = (number) => { const gone = listed.get(number); listed.delete(number); gone?.(); };
  const tab = (value, label) => h('label', { class: 'pill' }, h('input', { type: 'radio', name: 'reports', value, checked: value === state, onchange: () => { state = value; reports.again(); } }), h('span', {}, label));
  const reports = listDialog('Reports', {
    head: h('div', { class: 'pills', role: 'radiogroup', 'aria-label': 'Which reports' }, tab('open', 'Open'), tab('resolved', 'Resolved')),
    empty: 'There are none.',
    load: async (before) => {
      if (!before) listed.clear();
      const { reports: items, more } = await chat.lynk.reports(room.id, { state, ...(before && { before }) });
      const users = await profiles(chat, items.flatMap(({ user, by }) => (by ? [user, by] : [user])));
      const named = (user) => (user === chat.me ? 'you' : calledBy(users.get(user)));
      return { items: items.map((item) => ({ ...item, name: calledBy(users.get(item.user)), judge: item.outcome && (item.by ? named(item.by) : 'those who run the server') })), next: more ? items.at(-1).number : undefined };
    },
    row: (item, gone) => {
      const { number, kind, user, seq, text, reason, comment: said, at, outcome, done, note, name, judge } = item;
      const what = kind === 'message' ? `A message of ${name}` : name;
      if (!outcome) listed.set(number, gone);
      return h('li', { class: 'still asks' }, chat.faces.person(user, name, { size: 'small' }),
        h('span', { class: 'person' }, h('span', { dir: 'auto' }, what), h('span', { class: 'hint' }, `${REASONS[reason] ?? reason}. Report ${number}, ${momentOf(at)}`),
          text && h('span', { class: 'quoted', dir: 'auto' }, text), said && h('span', { class: 'hint', dir: 'auto' }, `“${said}”`),
          outcome && h('span', { class: 'hint', dir: 'auto' }, `${CAME_OF_IT[outcome] ?? outcome}. Decided by ${judge}, ${momentOf(done)}.${note ? ` ${note}` : ''}`)),
        h('span', { class: 'answers' },
          seq && rowButton('Show', `the message of report ${number}`, async () => { reports.dialog.close(); show(seq); }, wrong),
          !outcome && rowButton('Decide', `on report ${number}`, async () => {
            deciding.add(number);
            resolve(chat, room, item, { done: () => { end(number); changed?.(); }, onclose: () => { deciding.delete(number); if (late.delete(number)) end(number); } });
          }, wrong, 'primary')));
    },
  });
  const off = chat.on('report', ({ room: id, number, state: news }) => {
    if (id !== room.id) return;
    if (!reports.element.isConnected) off();
    else if (news === 'resolved') { if (deciding.has(number)) late.add(number); else end(number); }
    // Nothing moves under whoever is in the list: a note tells of it.
    else if (state === 'open' && !deciding.size && !reports.list.contains(document.activeElement)) reports.again();
  });
}

/** Tells those who manage a room that there is something to decide. `show` opens the queue. */
export function tellReport(chat, { room: id, state }, show) {
  const room = chat.rooms.get(id);
  if (room && state === 'open') toast(`Something was reported in ${chat.title(room)}`, { stay: 12_000, action: { label: 'Show', run: () => show(room) } });
}

/** Does what a report needs, and says what came of it. */
function resolve(chat, room, { number, kind, user, seq, name }, { done, onclose }) {
  const { lynk } = chat;
  const { message_deleted: deletes, ...others } = OUTCOMES;
  formDialog({
    title: `Decide on report ${number}`, label: 'Decide', about: 'What you choose is done, and kept with the report.',
    fields: [choices('outcome', `About ${kind === 'message' ? `a message of ${name}` : name}`, kind === 'message' ? { dismissed: others.dismissed, message_deleted: deletes, ...others } : others), ...comment('note', 'A note for those who manage the room (may be left out)')],
    submit: async ({ outcome, note }) => {
      if (!outcome) throw new Error('Choose what is to be done.');
      const act = { message_deleted: ['delete', { seq }], member_kicked: ['kick', { user }], member_banned: ['ban', { user }] }[outcome];
      if (act) {
        try { await lynk.request(act[0], { room: room.id, ...act[1] }); } catch (error) {
          if (error.code === 'forbidden') throw new Error('Your role does not allow that. Ask somebody above you, or choose something else.');
          if (!DONE_BEFORE.has(error.code)) throw error;
        }
      }
      await orDone(lynk.resolveReport(room.id, number, outcome, lines(note)));
    },
    done: () => { toast(`Report ${number} is decided`); done(); }, onclose,
  });
}

const ROLES = { admin: 'an admin', moderator: 'a moderator', member: 'a member', owner: 'the owner' };

/** What one act was, in words. `of` names a user. */
function actText({ by, what, user, until, role, reason, report: number, seq }, of) {
  const who = of(by, true);
  const whom = user && of(user);
  const end = until ? ` until ${momentOf(until)}` : '';
  const why = reason ? `: ${reason}` : '';
  switch (what) {
    case 'kicked': return `${who} removed ${whom}${why}`;
    case 'banned': return `${who} banned ${whom}${end}${why}`;
    case 'unbanned': return `${who} lifted the ban of ${whom}`;
    case 'muted': return `${who} muted ${whom}${end}`;
    case 'unmuted': return `${who} let ${whom} write again`;
    case 'role': return `${who} made ${whom} ${ROLES[role] ?? role}`;
    case 'transferred': return `${who} handed the room over to ${whom}`;
    case 'settings': return `${who} changed what the room is`;
    case 'message_deleted': return `${who} deleted ${whom ? `a message of ${whom}` : `message ${seq}`}`;
    case 'link_made': return `${who} made a link${end}`;
    case 'link_ended': return `${who} ended a link`;
    case 'request_accepted': return `${who} let ${whom} in`;
    case 'request_declined': return `${who} declined the request of ${whom}`;
    case 'report_resolved': return `${who} decided on report ${number}`;
    default: return `${who}: ${what}`;
  }
}

/** What moderators did, newest first. */
export function moderationLog(chat, room) {
  listDialog('What moderators did', {
    empty: 'Nothing was done, as far as it is kept.',
    load: async (before) => {
      const { acts, more } = await chat.lynk.moderationLog(room.id, { limit: LOG_PAGE, ...(before && { before }) });
      const users = await profiles(chat, acts.flatMap(({ by, user }) => [by, user]).filter((id) => id && !NOBODY.test(id)));
      const of = (id, first) => (id === chat.me ? (first ? 'You' : 'you') : NOBODY.test(id) ? (first ? 'The server' : 'the server') : calledBy(users.get(id)));
      return { items: acts.map((act) => ({ by: act.by, at: act.at, text: actText(act, of), name: act.by === chat.me ? chat.name(chat.me) : of(act.by, true) })), next: more ? acts.at(-1).number : undefined };
    },
    row: ({ by, at, text, name }) => h('li', { class: 'still' }, chat.faces.person(by, name, { size: 'small' }), h('span', { class: 'person' }, h('span', { dir: 'auto' }, text), h('span', { class: 'hint' }, momentOf(at)))),
  });
}
