/** One message as a row, and what one can do with it. */

import { chooseEmoji, QUICK } from './emoji.js';
import { confirmDialog, openDialog } from './dialogs.js';
import { h, icon, iconButton, toast } from './dom.js';
import { briefOf, count, explain, fullTime, isJumbo, listOf, richText, timeOf, tintOf } from './format.js';
import { namesIn } from './mentions.js';
import { openMenu } from './menu.js';
import { pin } from './pins.js';
import { report } from './report.js';

const TICKS = { waiting: ['clock', 'Waiting to be sent'], failed: ['warning', 'Not sent'], sent: ['sent', 'Sent'], delivered: ['both', 'Delivered'], read: ['both', 'Read'] };
const LONG_PRESS_MS = 450;

const tick = (state, title) => [icon(TICKS[state][0], `tick tick-${state}`), h('span', { class: 'unseen' }, title ?? TICKS[state][1])];

/** The beginning of a quoted message, on one line. */
function quoteOf(chat, room, seq) {
  const quoted = room.items.get(seq);
  if (!quoted) return { who: '', text: 'Earlier message' };
  return { who: quoted.from === chat.me ? 'You' : chat.name(quoted.from), from: quoted.from, text: quoted.deleted ? 'Message deleted' : briefOf(quoted, 140) };
}

const quoteElement = (quote, onclick) => h(onclick ? 'button' : 'div', { class: `quote tint-${tintOf(quote.from ?? '')}`, ...(onclick && { type: 'button', onclick, title: 'Show this message' }) },
  onclick && h('span', { class: 'unseen' }, 'Show the message this answers: '),
  quote.who && h('span', { class: 'quote-who' }, quote.who), h('span', { class: 'quote-text', dir: 'auto' }, quote.text));

/** The row of a message. `actions`: `reply`, `edit`, `reveal`, `compose`, `unread`. */
export function messageRow(chat, room, message, { first, last }, actions) {
  const mine = message.from === chat.me;
  const pending = chat.pendingFor(room.id, message.seq);
  const edit = pending.findLast((entry) => entry.op === 'edit');
  const leaving = pending.some((entry) => entry.op === 'delete');
  const text = edit?.fields.text ?? message.text ?? '';
  const reactions = [...chat.reactionsOf(room.id, message)].map(([emoji, users]) => ({ emoji, count: users.size, mine: users.has(chat.me), names: [...users].slice(0, 12).map((user) => (user === chat.me ? 'You' : chat.name(user))) }));
  const reach = mine ? room.reachOf(message.seq, chat.me) : undefined;
  const state = reach && (edit || leaving ? 'waiting' : reach.read.length ? 'read' : reach.delivered.length ? 'delivered' : 'sent');
  const show = {
    mine, first, last, text, files: message.deleted ? [] : message.attachments?.map((file) => file.id), state, leaving, deleted: Boolean(message.deleted), edited: Boolean(message.edited), time: message.time, reactions,
    by: reach && !room.direct ? [reach.read.length, reach.delivered.length] : undefined,
    name: !mine && !room.direct && first ? chat.name(message.from) : undefined, face: !mine && !room.direct && first ? chat.faces.ofPerson(message.from) : undefined,
    quote: message.reply_to && !message.deleted ? quoteOf(chat, room, message.reply_to) : undefined,
    sender: mine ? 'You' : chat.name(message.from), request: room.request, calls: room.calls(message, chat.me),
    marked: (message.mentions || message.mention_all) && [...namesIn(text ?? '')].map(({ name }) => chat.mentionOf(message, name)),
  };
  return { key: `m-${message.seq}`, sign: JSON.stringify(show), make: () => makeRow(chat, room, message, show, actions) };
}

function makeRow(chat, room, message, show, actions) {
  const { mine } = show;
  const files = !show.deleted && chat.files.element(message.attachments);
  const jumbo = !show.deleted && !show.quote && !files && isJumbo(show.text);
  const read = show.by?.[0] ? `Read by ${show.by[0]}` : show.by?.[1] ? `Delivered to ${show.by[1]}` : undefined;
  const body = h('div', { class: `bubble ${jumbo ? 'jumbo' : ''} ${files ? 'filed' : ''} ${show.calls ? 'calls' : ''}` },
    show.calls && h('span', { class: 'unseen' }, 'Mentions you. '),
    show.name && h('span', { class: `sender tint-${tintOf(message.from)}`, dir: 'auto' }, show.name),
    !show.name && h('span', { class: 'unseen' }, `${show.sender}: `),
    show.quote && quoteElement(show.quote, () => actions.reveal(message.reply_to)),
    show.deleted ? h('span', { class: 'text gone' }, mine ? 'You deleted this message' : 'This message was deleted') : [files, show.text && h('span', { class: 'text', dir: 'auto' }, richText(show.text, show.marked && ((name) => chat.mentionOf(message, name))))],
    h('span', { class: 'meta' }, show.edited && !show.deleted && h('span', {}, 'edited'), h('time', { datetime: new Date(show.time).toISOString(), title: fullTime(show.time) }, timeOf(show.time)),
      mine && !show.deleted && tick(show.state, read)));
  const run = (name) => doing(name, chat, room, message, row, actions);
  const tools = !show.deleted && room.request !== 'received' && h('div', { class: 'tools' },
    !room.request && iconButton('smile', 'React', () => run('react'), { tabindex: '-1' }),
    iconButton('reply', 'Reply', () => run('reply'), { tabindex: '-1' }),
    iconButton('more', 'More', () => run('menu'), { tabindex: '-1', 'aria-haspopup': 'menu' }));
  const row = h('li', { class: `row ${mine ? 'mine' : 'theirs'} ${show.first ? 'first' : ''} ${show.last ? 'last' : ''} ${show.leaving ? 'leaving' : ''} ${room.direct ? '' : 'pictured'}`, tabindex: '-1', data: { seq: String(message.seq) },
    ondo: (event) => run(event.detail),
    ondblclick: (event) => { if (room.request !== 'received' && !event.target.closest('button, a, .text, .player')) run('reply'); },
    oncontextmenu: (event) => {
      if (event.target.closest('a, audio, video') || String(getSelection())) return;
      event.preventDefault();
      doing('menu', chat, room, message, row, actions, { x: event.clientX, y: event.clientY });
    } },
  !mine && !room.direct && show.first && chat.faces.person(message.from, show.sender),
  h('div', { class: 'stack' }, h('div', { class: 'line' }, body, tools),
    show.reactions.length > 0 && h('div', { class: 'reactions' }, show.reactions.map(({ emoji, count: number, mine: own, names }) =>
      h('button', { type: 'button', id: `r-${message.seq}-${emoji}`, class: own ? 'reaction own' : 'reaction', 'aria-pressed': String(own), title: listOf(names, 8), 'aria-label': `${emoji}, ${number}: ${listOf(names, 8)}`, onclick: () => chat.react(room.id, message.seq, emoji) }, emoji, ' ', h('span', { class: 'number' }, String(number)))))));
  longPress(row, () => run('menu'));
  return row;
}

/** Fingers have no hover and no second button. */
function longPress(row, action) {
  let timer;
  const stop = () => clearTimeout(timer);
  row.addEventListener('pointerdown', (event) => {
    if (event.pointerType !== 'touch' || event.target.closest('button, a, audio, video')) return;
    stop();
    timer = setTimeout(() => { navigator.vibrate?.(10); action(); }, LONG_PRESS_MS);
  });
  for (const name of ['pointerup', 'pointercancel', 'pointermove', 'pointerleave']) row.addEventListener(name, stop);
}

async function doing(name, chat, room, message, row, actions, at) {
  const mine = message.from === chat.me;
  // What waits for an answer is not changed.
  const may = { edit: mine && !message.deleted && !room.request, react: !room.request, remove: !message.deleted && (mine || room.manages) };
  if (message.deleted && name !== 'menu') return;
  // Who was asked reads first, and answers when the conversation is accepted.
  const closed = room.request === 'received';
  if ((closed && name === 'reply') || (!may.react && name === 'react')) return;
  switch (name) {
    case 'reply': actions.reply(message); break;
    case 'edit': if (may.edit) actions.edit(message); break;
    case 'copy':
      if (!message.text) break;
      try { await navigator.clipboard.writeText(message.text); toast('Copied', { stay: 2_000 }); } catch { toast('Your browser does not allow copying here. Select the text instead.', { kind: 'error' }); }
      break;
    case 'react': {
      const emoji = await chooseEmoji('Choose a reaction');
      if (emoji) chat.react(room.id, message.seq, emoji);
      row.isConnected && row.focus({ preventScroll: true });
      break;
    }
    case 'remove':
      if (may.remove) confirmDialog({ title: 'Delete this message?', about: 'It disappears for everybody in this conversation.', label: 'Delete', run: async () => { chat.lynk.delete(room.id, message.seq); } });
      break;
    case 'pin':
      if (room.direct || !room.manages) break;
      try {
        await pin(chat, room, message.seq, !message.pinned);
        toast(message.pinned ? 'Pinned. The details of the room list it.' : 'Unpinned');
      } catch (error) { toast(explain(error), { kind: 'error' }); }
      break;
    case 'report': if (!mine) report(chat, room, { seq: message.seq }, 'this message'); break;
    case 'info': showReach(chat, room, message); break;
    case 'unread': actions.unread(message); break;
    case 'menu': {
      if (message.deleted) return;
      const again = (next) => () => doing(next, chat, room, message, row, actions);
      const anchor = row.querySelector('.bubble');
      openMenu(anchor, 'Message', [
        !closed && { icon: 'reply', label: 'Reply', run: again('reply') },
        message.text && { icon: 'copy', label: 'Copy text', run: again('copy') },
        may.edit && { icon: 'edit', label: 'Edit', run: again('edit') },
        mine ? { icon: 'info', label: 'Delivered and read', run: again('info') } : { icon: 'unread', label: 'Mark as unread', run: again('unread') },
        !room.direct && room.manages && { icon: 'pin', label: message.pinned ? 'Unpin' : 'Pin', run: again('pin') },
        !mine && { icon: 'flag', label: 'Report', run: again('report') },
        may.remove && { icon: 'trash', label: 'Delete', danger: true, run: again('remove') },
      ], { at, quick: !may.react ? undefined : QUICK.map((emoji) => ({ emoji, on: message.reactions.get(emoji)?.has(chat.me) })), pick: (emoji) => (emoji ? chat.react(room.id, message.seq, emoji) : again('react')()) });
      break;
    }
    default:
  }
}

function showReach(chat, room, message) {
  const { read, delivered } = room.reachOf(message.seq, chat.me);
  const part = (label, users, state) => users.length > 0 && [h('h3', {}, tick(state, ''), ' ', label), h('ul', { class: 'people' }, users.map((user) => h('li', {}, chat.faces.person(user, chat.name(user), { size: 'small' }), chat.name(user))))];
  openDialog('Delivered and read', h('div', {}, h('blockquote', { dir: 'auto' }, briefOf(message, 200)), h('p', { class: 'about' }, `Sent ${fullTime(message.time)}.`),
    part(`Read by ${count(read.length, 'person', 'people')}`, read, 'read'), part(`Delivered to ${count(delivered.length, 'person', 'people')}`, delivered, 'delivered'),
    read.length + delivered.length === 0 && h('p', { class: 'about' }, 'The server has it. No other device was heard of since you opened this page.')));
}

/** The row of an own message that waits to be acknowledged. */
export function waitingRow(chat, room, entry, { first, last }, actions) {
  const quote = entry.fields.reply_to ? quoteOf(chat, room, entry.fields.reply_to) : undefined;
  const failed = entry.failed?.code;
  const attached = entry.shown?.attachments;
  const show = { text: entry.fields.text, files: entry.fields.attachments, first, last, failed, quote };
  const text = (files) => (show.text || !files) && h('span', { class: 'text', dir: 'auto' }, richText(show.text, (name) => chat.mentionOf(entry.fields, name)));
  return {
    key: `w-${entry.id}`, sign: JSON.stringify(show), make: (files = chat.files.element(attached)) => h('li', { class: `row mine waiting ${first ? 'first' : ''} ${last ? 'last' : ''}`, tabindex: '-1' },
      h('div', { class: 'stack' }, h('div', { class: 'line' }, h('div', { class: `bubble ${files ? 'filed' : ''} ${!quote && !files && isJumbo(show.text) ? 'jumbo' : ''}` }, h('span', { class: 'unseen' }, 'You: '), quote && quoteElement(quote),
        files, text(files), h('span', { class: 'meta' }, h('time', {}, timeOf(entry.created)), tick(failed ? 'failed' : 'waiting')))),
      failed && h('div', { class: 'failure', role: 'alert' }, h('span', {}, `Not sent. ${explain(entry.failed)}`),
        h('button', { type: 'button', class: 'link', onclick: () => chat.lynk.retry(entry.id) }, 'Send again'),
        h('button', { type: 'button', class: 'link', onclick: () => { chat.lynk.discard(entry.id); actions.compose(entry.fields.text, attached); } }, 'Edit'),
        h('button', { type: 'button', class: 'link', onclick: () => chat.lynk.discard(entry.id) }, 'Delete')))),
  };
}
