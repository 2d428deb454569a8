/** The messages of the open room: rows, scrolling, what has been seen. */

import { $, eachFrame, h, icon, reconcile } from './dom.js';
import { count, dayLabel, dayNumber, explain, listOf } from './format.js';
import { messageRow, waitingRow } from './message.js';

/** Messages of one person that follow each other within this time are one group. */
const GROUP_MS = 5 * 60_000;
/** Distance from the end that still counts as the end, in pixels. */
const END_PX = 60;
/** Distance from the beginning at which older messages are loaded. */
const AHEAD_PX = 900;
/** Pages loaded at most to reach a message that is quoted, or the first unread one. */
const REACH_PAGES = 12;

export class Timeline {
  #chat;
  #actions;
  #rows;
  #jump;
  #divider;
  #atEnd = true;
  #places = new Map();
  #opened = false;
  #room;
  #moving = false;
  /** A room is being opened: what flits by has not been seen. */
  #placing = false;

  /** `actions`: what a row can ask for, see `message.js`. */
  constructor(chat, actions) {
    this.#chat = chat;
    this.#actions = actions;
    this.#rows = h('ol', { class: 'rows', role: 'list', 'aria-label': 'Messages' });
    this.#jump = h('button', { type: 'button', class: 'jump', hidden: true, onclick: () => this.toEnd(true) }, h('span', { class: 'badge' }), icon('down'));
    this.scroller = h('div', { class: 'timeline', onscroll: () => this.#scrolled() }, this.#rows);
    this.element = h('div', { class: 'timeline-frame' }, this.scroller, this.#jump);
    this.later = eachFrame(() => this.render());
    // A player that opens makes a row higher, too.
    const grown = new ResizeObserver(() => { if (this.#atEnd) this.toEnd(); });
    for (const element of [this.scroller, this.#rows]) grown.observe(element);
    chat.on('room', (room) => { if (room && room === this.#room) this.later(); });
    chat.on('users', this.later);
    chat.on('state', ({ state }) => { if (state === 'connected') this.later(); });
    this.#rows.addEventListener('keydown', (event) => this.#key(event));
    this.#rows.addEventListener('focusin', (event) => this.#rove(event.target.closest('.row')));
  }

  show(room) {
    if (this.#room === room) { this.later(); return; }
    if (this.#room) {
      this.#places.set(this.#room.id, this.#atEnd ? undefined : this.#anchor());
      this.#room.trim();
    }
    this.#room = room;
    this.#divider = undefined;
    this.#opened = this.#placing = false;
    this.#atEnd = true;
    this.#rows.replaceChildren();
    if (!room) return;
    if (room.unread > 0) this.#divider = { after: room.read, count: room.unread };
    this.render();
    if (!room.ready) this.#load();
  }

  /** Messages that came while nobody looked get a line above them. */
  missed(message) {
    if (this.#divider || message.seq <= this.#room.read) return;
    this.#divider = { after: message.seq - 1 };
  }

  clearDivider() { this.#divider = undefined; this.later(); }

  // ---- rows ----

  render() {
    const room = this.#room;
    if (!room) return;
    const anchor = this.#atEnd ? undefined : this.#anchor();
    const rows = this.#list(room);
    reconcile(this.#rows, rows);
    this.#roving();
    if (!this.#opened && room.ready) this.#open();
    else if (this.#atEnd) this.toEnd();
    else this.#restore(anchor);
    this.#button();
    this.seen();
    if (room.ready && this.scroller.scrollTop < AHEAD_PX) this.#load();
  }

  #list(room) {
    const chat = this.#chat;
    const rows = [this.#top(room)];
    let before;
    let notes = [];
    const flush = () => {
      if (notes.length) rows.push(this.#note(notes, room));
      notes = [];
    };
    const day = (time, key) => {
      if (before && dayNumber(before.time) === dayNumber(time)) return false;
      flush();
      const label = dayLabel(time);
      rows.push({ key: `day-${key}`, sign: label, make: () => h('li', { class: 'day' }, h('span', {}, label)) });
      return true;
    };
    const items = room.order.map((seq) => room.items.get(seq));
    let divided = !this.#divider;
    items.forEach((item, index) => {
      const split = item.time ? day(item.time, item.seq) : false;
      if (item.ev !== 'message') {
        if (item.time) before = { time: item.time };
        const last = notes.at(-1);
        if (last && last.ev !== item.ev) flush();
        if (noteText(item, chat) !== undefined) notes.push(item);
        return;
      }
      flush();
      let cut = split;
      if (!divided && item.seq > this.#divider.after && item.from !== chat.me) {
        divided = cut = true;
        const label = this.#divider.count ? count(this.#divider.count, 'unread message') : 'New messages';
        rows.push({ key: 'divider', sign: label, make: () => h('li', { class: 'divider' }, h('span', {}, label)) });
      }
      const joins = (a, b) => a && b && b.ev === 'message' && a.from === b.from && Math.abs(b.time - a.time) < GROUP_MS && dayNumber(a.time) === dayNumber(b.time);
      const next = items[index + 1];
      const first = cut || !(before?.ev === 'message' && joins(before, item));
      const last = !joins(item, next) || (!divided && next?.seq > this.#divider.after && next.from !== chat.me);
      rows.push(messageRow(chat, room, item, { first, last }, this.#actions));
      before = item;
    });
    flush();
    const waiting = chat.waiting(room.id);
    waiting.forEach((entry, index) => {
      const split = day(entry.created, entry.id);
      const first = split || !(before?.from === chat.me && entry.created - before.time < GROUP_MS);
      before = { ev: 'message', from: chat.me, time: entry.created };
      rows.push(waitingRow(chat, room, entry, { first, last: index === waiting.length - 1 }, this.#actions));
    });
    return rows;
  }

  #top(room) {
    if (room.failed) {
      return { key: 'top', sign: `failed ${room.failed.code}`, make: () => h('li', { class: 'edge' }, h('p', { class: 'error' }, icon('warning'), h('span', {}, explain(room.failed))),
        h('button', { type: 'button', class: 'secondary', onclick: () => { room.failed = undefined; this.#load(); } }, 'Try again')) };
    }
    if (!room.atStart) return { key: 'top', sign: 'loading', make: () => h('li', { class: 'edge', 'aria-label': 'Loading older messages' }, h('span', { class: 'spinner' })) };
    const title = this.#chat.title(room);
    const empty = room.order.every((seq) => room.items.get(seq).ev !== 'message') && this.#chat.waiting(room.id).length === 0;
    return { key: 'top', sign: `start ${title} ${empty} ${this.#chat.faces.shown(room)}`, make: () => h('li', { class: 'edge start' },
      this.#chat.faces.of(room, { size: 'big' }),
      h('strong', { dir: 'auto' }, title),
      h('p', {}, room.direct ? `This is the beginning of your conversation with ${title}.` : `This is the beginning of ${title}.`, empty && ' Write the first message.')) };
  }

  #note(notes, room) {
    const texts = notes.map((item) => noteText(item, this.#chat, room));
    const who = [...new Set(notes.map((item) => this.#chat.name(item.user ?? item.from)))];
    const label = notes.length > 1 && ['joined', 'left'].includes(notes[0].ev) ? `${listOf(who, 3)} ${notes[0].ev}` : texts.join(' · ');
    return { key: `note-${notes[0].seq}`, sign: label, make: () => h('li', { class: 'note' }, h('span', {}, label)) };
  }

  // ---- scrolling ----

  async #load() {
    const room = this.#room;
    if (!room || room.loading || room.failed || room.atStart) return;
    const more = await this.#chat.older(room.id);
    if (more && room === this.#room) this.later();
  }

  /** Where a room is opened: at its first unread message, where it was left, or at the end. */
  async #open() {
    this.#opened = true;
    const room = this.#room;
    const place = this.#places.get(room.id);
    if (this.#divider) {
      this.#placing = true;
      for (let pages = 0; pages < REACH_PAGES && room === this.#room && !room.atStart && room.low > this.#divider.after + 1; pages++) {
        if (!(await this.#chat.older(room.id, 100))) break;
      }
      if (room !== this.#room) return;
      this.#placing = false;
      this.#atEnd = false;
      this.render();
      const divider = $('.divider', this.#rows);
      if (divider) {
        this.scroller.scrollTop = divider.offsetTop - 72;
        this.#scrolled();
        return;
      }
    } else if (place) {
      this.#atEnd = false;
      this.#restore(place);
      return;
    }
    this.toEnd();
  }

  /** The first message in sight, and where it is. (The line of a day sticks to the top: it tells nothing.) */
  #anchor() {
    const top = this.scroller.scrollTop;
    for (const row of this.#rows.children) {
      if (row.classList.contains('row') && row.offsetTop + row.offsetHeight > top) return { key: row.dataset.key, offset: row.offsetTop - top };
    }
    return undefined;
  }

  #restore(anchor) {
    if (!anchor) return;
    const row = this.#row(anchor.key);
    if (!row) return;
    const wanted = row.offsetTop - anchor.offset;
    if (Math.abs(this.scroller.scrollTop - wanted) >= 1) this.scroller.scrollTop = wanted;
  }

  #row(key) {
    for (const row of this.#rows.children) if (row.dataset.key === key) return row;
    return undefined;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < END_PX;
    if (!this.#moving) this.#atEnd = atEnd;
    else if (atEnd) this.#moving = false;
    if (scrollTop < AHEAD_PX && this.#room?.ready) this.#load();
    this.#button();
    this.seen();
  }

  toEnd(smooth = false) {
    this.#atEnd = true;
    const calm = !smooth || matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.#moving = !calm;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: calm ? 'instant' : 'smooth' });
    this.#button();
  }

  #button() {
    const room = this.#room;
    const hidden = this.#atEnd || !room;
    this.#jump.hidden = hidden;
    if (hidden) return;
    const badge = $('.badge', this.#jump);
    badge.textContent = room.unread > 0 ? String(room.unread) : '';
    badge.hidden = !(room.unread > 0);
    this.#jump.setAttribute('aria-label', room.unread > 0 ? `Jump to the newest message, ${room.unread} unread` : 'Jump to the newest message');
  }

  /** Shows a message, loading the past until it is there. Resolves with whether it is. */
  async reveal(seq, far = 0) {
    const room = this.#room;
    const limit = far ? 500 : 100;
    for (let pages = 0; pages < (far || REACH_PAGES) && room === this.#room && !room.items.has(seq) && !room.atStart; pages++) {
      if (!(await this.#chat.older(room.id, limit))) break;
    }
    if (room !== this.#room) return false;
    this.#atEnd = false;
    this.render();
    const row = this.#row(`m-${seq}`);
    if (!row) return false;
    row.scrollIntoView({ block: 'center' });
    row.focus({ preventScroll: true });
    row.classList.add('flash');
    setTimeout(() => row.classList.remove('flash'), 1_600);
    return true;
  }

  /** Tells what this person has seen: what is in sight of a window that is looked at. */
  seen() {
    const room = this.#room;
    if (!room?.ready || this.#placing || document.hidden || !document.hasFocus()) return;
    if (this.#atEnd) {
      if (room.newest > room.read) this.#chat.markRead(room.id, room.newest);
      return;
    }
    const bottom = this.scroller.scrollTop + this.scroller.clientHeight + 8;
    for (let row = this.#rows.lastElementChild; row; row = row.previousElementSibling) {
      const seq = Number(row.dataset.seq);
      if (!seq || row.offsetTop + row.offsetHeight > bottom) continue;
      if (seq > room.read) this.#chat.markRead(room.id, seq);
      return;
    }
  }

  // ---- keyboard ----

  #roving() {
    if ($('.row[tabindex="0"]', this.#rows)) return;
    [...this.#rows.querySelectorAll('.row')].at(-1)?.setAttribute('tabindex', '0');
  }

  #rove(row) {
    if (!row) return;
    for (const other of this.#rows.querySelectorAll('.row[tabindex="0"]')) other.setAttribute('tabindex', '-1');
    row.setAttribute('tabindex', '0');
  }

  #key(event) {
    const row = event.target.closest('.row');
    // A film has keys of its own.
    if (!row || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('audio, video')) return;
    const rows = [...this.#rows.querySelectorAll('.row')];
    const here = rows.indexOf(row);
    const to = { ArrowUp: here - 1, ArrowDown: here + 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      if (to >= rows.length) this.#actions.compose();
      else rows[Math.max(0, to)].focus();
      return;
    }
    if (event.target !== row) return;
    const letter = { Enter: 'menu', ContextMenu: 'menu', r: 'reply', e: 'edit', Delete: 'remove', '+': 'react', c: 'copy' }[event.key];
    if (!letter) return;
    event.preventDefault();
    row.dispatchEvent(new CustomEvent('do', { detail: letter }));
  }
}

/** What a note says; `undefined` for what is not worth a line. */
function noteText(item, chat) {
  const me = chat.me;
  const who = (id) => (id === me ? 'You' : chat.name(id));
  const be = (id) => (id === me ? 'You were' : `${chat.name(id)} was`);
  switch (item.ev) {
    case 'created': return item.kind === 'direct' ? undefined : `${who(item.from)} created this room`;
    case 'joined': return item.from !== item.user && !/^[0-]+$/.test(item.from) ? `${who(item.from)} added ${item.user === me ? 'you' : chat.name(item.user)}` : `${who(item.user)} joined`;
    case 'left': return `${who(item.user)} left`;
    case 'kicked': return `${be(item.user)} removed${item.reason ? `: ${item.reason}` : ''}`;
    case 'banned': return `${be(item.user)} banned${item.reason ? `: ${item.reason}` : ''}`;
    case 'unbanned': return `${be(item.user)} unbanned`;
    case 'muted': return `${be(item.user)} muted`;
    case 'unmuted': return `${be(item.user)} unmuted`;
    case 'role': return `${item.user === me ? 'You are' : `${chat.name(item.user)} is`} now ${item.role === 'admin' ? 'an admin' : `a ${item.role}`}`;
    case 'transferred': return `${item.user === me ? 'You own' : `${chat.name(item.user)} owns`} this room now`;
    case 'settings': return item.renamed ? `${who(item.from)} renamed the room to ${item.name}` : undefined;
    case 'pinned': return item.on ? `${who(item.from)} pinned a message` : undefined;
    case 'gap': return { lost: 'Messages may be missing here: the server stopped before it kept them', retention: 'Older messages were removed', compacted: 'Older messages were removed', not_visible: undefined }[item.reason] ?? (item.reason === 'not_visible' ? undefined : 'Messages may be missing here');
    default: return undefined;
  }
}
