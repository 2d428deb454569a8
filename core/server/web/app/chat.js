/**
 * The chat of one signed-in user: rooms, people, receipts, what waits to be sent. It owns the connection and tells the views what changed
 * (`rooms`, `room`, `users`, `state`, `note`); it knows no element.
 */

import { Lynk, parseTime } from '../lynk.js';
import { Outbox, settings, Storage } from './storage.js';
import { Faces } from './faces.js';
import { Files } from './files.js';
import { explain } from './format.js';
import { ALL, fold, mentionsIn } from './mentions.js';
import { Room } from './room.js';

const PAGE = 60;
/** Rooms whose newest page is loaded before they are opened. */
const EAGER_ROOMS = 60;
/** Time between two looks at the list of rooms: names and roles of rooms that are not open may have changed. */
const SYNC_VISIBLE_MS = 60_000;
const SYNC_HIDDEN_MS = 300_000;
/** A position that was acknowledged is kept by the server after this time. */
const KEPT_AFTER_MS = 5_000;
/** The event that tells why one is out may come a moment after the news that one is. */
const REMOVE_AFTER_MS = 1_000;
const TYPING_SHOWN_MS = 6_000;
const TYPING_EVERY_MS = 3_000;
const SAVE_AFTER_MS = 1_000;
const WATCH_MAX = 300;
const RENEW_MS = 300_000;
/** A gap so long is not paged on start; the room begins anew from its newest messages. */
const CATCH_UP_MAX = 2_000;

export class Chat {
  #listeners = new Map();
  #syncTimer;
  #syncing;
  #dirty = new Set();
  #saveTimer;
  #asking = new Set();
  #askTimer;
  #told = new Map();
  #tellTimer;
  #typed = { room: undefined, at: 0 };
  #watched = new Set();
  /** Newest version of each room's membership that this connection was told. */
  #versions = new Map();
  #soonTimer;
  #lostAt = Date.now();
  #shadows = new Map();
  #stopped = false;
  #renewedAt = 0;
  #tabs = globalThis.BroadcastChannel && new BroadcastChannel('lynk');

  constructor(account, url) {
    this.account = account;
    this.me = account.session.user.user;
    /** The session that the connection is of; another tab may have signed in anew since. */
    this.session = account.session.session;
    this.url = url;
    this.rooms = new Map();
    this.users = new Map([[this.me, { id: this.me, ...account.session.user }]]);
    this.online = new Map();
    this.here = new Map();
    this.files = new Files(this);
    this.faces = new Faces(this);
    this.synced = false;
    this.open = undefined;
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  #emit(name, value) { for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(value); }

  /** Shows what is kept, and connects. */
  async start() {
    this.storage = await Storage.open(this.me);
    const [rooms, users] = await Promise.all([this.storage.all('rooms'), this.storage.all('users')]).catch(() => [[], []]);
    for (const user of users) if (!this.users.has(user.id)) this.users.set(user.id, user);
    for (const record of rooms) {
      try { this.rooms.set(record.id, Room.ofRecord(record)); } catch { /* Of another version: it is loaded anew. */ }
    }
    this.outbox = new Outbox(this.storage);
    this.lynk = new Lynk({
      url: this.url, outbox: this.outbox,
      token: async (want) => {
        const token = await this.account.token(want);
        this.session = this.account.session?.session;
        return { token };
      },
    });
    await this.lynk.ready;
    for (const room of this.rooms.values()) if (room.cursor && room.ready) this.lynk.follow(room.id, room.cursor);
    this.#listen();
    this.#emit('rooms');
    this.lynk.connect();
  }

  stop() {
    this.#stopped = true;
    this.#save();
    clearTimeout(this.#syncTimer);
    clearTimeout(this.#soonTimer);
    this.#tabs?.close();
    this.faces.end();
    this.lynk?.close();
    this.outbox?.release();
  }

  #listen() {
    const { lynk } = this;
    // What was read in one tab is read in all, at once; other devices learn it from the server a moment later.
    if (this.#tabs) this.#tabs.onmessage = ({ data }) => { if (data.user === this.me) this.#readElsewhere(data.room, data.seq); };
    lynk.on('state', (status) => {
      if (status.state === 'connected') this.#connected();
      else { this.online.clear(); this.#lostAt = Date.now(); }
      this.#emit('state', status);
      this.#emit('rooms');
    });
    lynk.on('hello', () => { this.#versions.clear(); this.#watched.clear(); this.here.clear(); this.sync(); });
    lynk.on('subscribed', ({ room: id, reply, first, reset }) => {
      const room = this.rooms.get(id);
      if (!room) return;
      if (reset) room.reset();
      else if (!first && reply.more && reply.top - (room.cursor?.seq ?? 0) > CATCH_UP_MAX) {
        this.#anew(room);
        return;
      }
      Object.assign(room, { role: reply.role ?? room.role, members: reply.members ?? room.members });
      // What the server had and says less of was set back, on another device. What it may not have is told again.
      const unsent = room.read > (reply.read ?? 0) && !this.#isKept(room, this.#lostAt);
      if (!unsent) Object.assign(room, { read: reply.read ?? 0, acked: reply.read ?? 0 });
      this.#adopt(room, unsent ? room.recount(this.me) ?? reply : reply);
      if (unsent) this.#tell(id, 'read', room.read);
      if (reply.top === 0) room.low = 1;
      room.top = reply.top;
      this.#changed(room);
      if (!room.ready && this.#eager(room)) this.older(id);
    });
    lynk.on('event', ({ room: id, event, counted }) => this.#event(id, event, counted));
    lynk.on('reset', ({ room: id }) => { const room = this.rooms.get(id); if (room) { room.reset(); this.#changed(room); this.older(id); } });
    lynk.on('unfollowed', ({ room: id, error }) => {
      if (['not_a_member', 'room_not_found', 'banned'].includes(error.code)) this.#removeRoom(id);
    });
    lynk.on('typing', ({ room: id, user, on }) => {
      const room = this.rooms.get(id);
      if (!room || user === this.me) return;
      if (on) room.typing.set(user, Date.now() + TYPING_SHOWN_MS); else room.typing.delete(user);
      this.name(user);
      this.#emit('typing', room);
      setTimeout(() => {
        for (const [who, until] of room.typing) if (until <= Date.now()) room.typing.delete(who);
        this.#emit('typing', room);
      }, TYPING_SHOWN_MS + 50);
    });
    lynk.on('added', ({ room, version, kind, name, role, peer, request }) => {
      if (!this.#newer(room, version)) return;
      const known = this.rooms.get(room);
      if (known) {
        Object.assign(known, { kind, name, role, request, fresh: true });
        this.lynk.follow(room);
        this.#changed(known);
      } else this.enter(room, { kind, name, role, peer, request }, version);
      // It does not tell the picture.
      this.#syncSoon();
    });
    lynk.on('removed', ({ room, version }) => {
      if (this.#newer(room, version)) setTimeout(() => { if (this.#versions.get(room) === version) this.#removeRoom(room); }, REMOVE_AFTER_MS);
    });
    lynk.on('conversation_accepted', ({ room: id, user }) => {
      const room = this.rooms.get(id);
      this.#settled(room);
      if (room && user !== this.me) this.#emit('note', { kind: 'plain', text: `${this.title(room)} accepted your request.` });
    });
    lynk.on('cleared', ({ room, upto }) => this.#clear(this.rooms.get(room), upto));
    for (const kind of ['read', 'delivered']) {
      lynk.on(kind, ({ room: id, user, seq, ...own }) => {
        const room = this.rooms.get(id);
        if (!room) return;
        if (user !== this.me) {
          if (room.receipt(kind, user, seq)) this.#changed(room);
        } else if (kind === 'read') this.#readElsewhere(id, seq, own);
      });
    }
    lynk.on('presence', ({ user, online }) => { this.online.set(user, online); this.#emit('presence', user); this.#emit('rooms'); });
    lynk.on('join_request', (news) => this.#emit('request', news));
    lynk.on('report', (news) => this.#emit('report', news));
    lynk.on('outbox', ({ entry, failed, removed }) => {
      if (failed && entry.op !== 'send') {
        lynk.discard(entry.id);
        this.#emit('note', { kind: 'error', text: explain(failed) });
      }
      if (removed) this.#shadows.delete(entry.id);
      this.#emit('room', this.rooms.get(entry?.fields.room));
      this.#emit('rooms');
    });
  }

  #clear(room, upto) {
    if (!room?.clear(upto, this.me)) return;
    this.#changed(room);
    if (room.hidden) this.#emit('hidden', room.id);
  }

  #newer(room, version) {
    if (version <= (this.#versions.get(room) ?? 0)) return false;
    this.#versions.set(room, version);
    return true;
  }

  /** Takes numbers as they were told; one that is missing is still being counted. */
  #adopt(room, { unread, mentions }) {
    if (unread !== undefined) room.unread = unread;
    if (mentions !== undefined) room.mentions = mentions; else if (!unread) room.mentions = 0; else this.#syncSoon();
  }

  #readElsewhere(id, seq, { top = 0, unread, mentions, marked } = {}) {
    const room = this.rooms.get(id);
    if (!room || (marked ? seq === room.read : seq <= room.read)) return;
    room.read = seq;
    if (marked) Object.assign(room, { acked: seq, markedAt: Date.now() });
    const counted = room.recount(this.me);
    // The numbers count up to `top`: what is still on its way would be counted twice.
    if (counted) this.#adopt(room, counted);
    else if (unread !== undefined && top <= (this.lynk.cursor(id)?.seq ?? 0)) this.#adopt(room, { unread, mentions });
    else this.#syncSoon();
    this.#changed(room);
  }

  /** Whether the server had the read position, and kept it, `before` some time. */
  #isKept(room, before) {
    return (room.acked ?? 0) >= room.read && before - (room.ackedAt ?? 0) > KEPT_AFTER_MS;
  }

  #connected() {
    this.watch();
    this.#tellNow();
    this.#schedule();
  }

  #anew(room) {
    room.reset();
    this.lynk.unfollow(room.id);
    this.lynk.follow(room.id);
    this.#changed(room);
  }

  #event(id, event, counted) {
    const room = this.rooms.get(id);
    if (!room) return;
    if (event.ev === 'gap' && event.reason === 'reset') return;
    if (event.ev === 'delete') this.files.forget(room.items.get(event.target)?.attachments);
    room.apply(event, this.me, counted);
    if (event.ev === 'deleted') {
      if (!event.own) this.#emit('note', { kind: 'error', text: `${this.title(room)} was deleted by ${this.name(event.from)}.` });
      this.#removeRoom(id);
      return;
    }
    if (event.user === this.me && ['left', 'kicked', 'banned'].includes(event.ev)) {
      if (event.ev !== 'left') this.#emit('note', { kind: 'error', text: `You were ${event.ev === 'banned' ? 'banned' : 'removed'} from ${this.title(room)}${event.reason ? `: ${event.reason}` : '.'}` });
      this.#removeRoom(id);
      return;
    }
    if (event.ev === 'message') {
      if (event.from === this.me && !event.own) this.#shadow(id, event);
      if (event.from !== this.me) {
        this.#tell(id, 'delivered', event.seq);
        if (!counted || Date.now() - parseTime(event.time) < 60_000) this.#emit('message', { room, message: room.items.get(event.seq) });
      }
    }
    if (['joined', 'left'].includes(event.ev) && id === this.open) setTimeout(() => this.lookHere(id), 1_000);
    this.#changed(room);
  }

  /** An own message that came as an event while the same text waits: a repeat will find out; until then it is shown once. */
  #shadow(id, event) {
    const taken = new Set(this.#shadows.keys());
    const entry = this.lynk.outbox.find((waiting) => waiting.op === 'send' && waiting.tried > 0 && waiting.fields.room === id
      && waiting.fields.text === (event.text ?? '') && waiting.fields.reply_to === event.reply_to
      && String(waiting.fields.attachments ?? '') === String(event.attachments?.map((file) => file.id) ?? '') && !taken.has(waiting.id));
    if (entry) this.#shadows.set(entry.id, event.seq);
  }

  #changed(room) {
    this.#dirty.add(room.id);
    this.#saveTimer ??= setTimeout(() => this.#save(), SAVE_AFTER_MS);
    this.#emit('room', room);
    this.#emit('rooms');
  }

  #save() {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    const records = [];
    for (const id of this.#dirty) {
      const room = this.rooms.get(id);
      const cursor = this.lynk.cursor(id);
      if (!room || !room.ready || !cursor) continue;
      room.cursor = cursor;
      records.push(room.toRecord(cursor));
    }
    this.#dirty.clear();
    if (records.length) this.storage.put('rooms', ...records).catch(() => {});
  }

  /** What must not wait when the page may be closed. */
  flush() { this.#save(); this.#tellNow(); }

  // ---- the list of rooms ----

  #schedule() {
    clearTimeout(this.#syncTimer);
    if (this.#stopped) return;
    const pages = 1 + Math.floor(this.rooms.size / 100);
    this.#syncTimer = setTimeout(() => this.sync(), (document.hidden ? SYNC_HIDDEN_MS : SYNC_VISIBLE_MS) * pages);
  }

  #syncSoon() {
    this.#soonTimer ??= setTimeout(() => { this.#soonTimer = undefined; this.sync(); }, 1_000);
  }

  /** Asks for the list of rooms and adopts it. */
  sync() {
    this.#syncing ??= this.#sync().catch(() => {}).finally(() => { this.#syncing = undefined; this.#schedule(); });
    return this.#syncing;
  }

  async #sync() {
    const asked = Date.now();
    const rows = await this.lynk.sync();
    const ids = new Set(rows.map((row) => row.room));
    let changed = !this.synced;
    rows.sort((a, b) => (parseTime(b.active) || 0) - (parseTime(a.active) || 0));
    for (const row of rows) {
      const known = this.rooms.has(row.room);
      const room = known ? this.rooms.get(row.room) : new Room(row.room);
      const look = () => `${room.name} ${room.kind} ${room.unread} ${room.mentions} ${room.role} ${room.hidden} ${room.quietUntil} ${room.avatar} ${room.request}`;
      const before = look();
      Object.assign(room, { kind: row.kind ?? room.kind, name: row.name ?? room.name, peer: row.peer ?? room.peer, role: row.role ?? room.role });
      room.active = Math.max(room.active, parseTime(row.active) || 0);
      Object.assign(room, { quietUntil: row.muted_until ?? 0, mentionsOnly: row.mentions_only });
      if (row.cleared) room.clear(row.cleared, this.me);
      // What was opened again stays, and so does what has news that came after the numbers.
      const later = (this.lynk.cursor(row.room)?.seq ?? 0) > row.top;
      if (!later) Object.assign(room, { hidden: Boolean(row.hidden) && !room.wanted && row.room !== this.open, avatar: row.avatar ?? undefined });
      // What was answered since the list was asked for is settled.
      if (!(room.settledAt >= asked)) room.request = row.request;
      room.top = row.top ?? room.top;
      this.rooms.set(row.room, room);
      if (room.peer) this.name(room.peer);
      const cursor = this.lynk.cursor(row.room);
      if (!cursor) {
        Object.assign(room, { unread: row.unread ?? room.unread, mentions: row.mentions ?? room.mentions });
        room.read = Math.max(room.read, row.read ?? 0);
        this.lynk.follow(row.room);
      } else if (cursor.seq === row.top && row.read !== undefined && row.unread !== undefined && !(room.markedAt >= asked)
        && (row.read >= room.read || this.#isKept(room, asked))) {
        Object.assign(room, { read: row.read, acked: row.read, unread: row.unread, mentions: row.mentions ?? room.mentions });
      }
      changed ||= !known || before !== look();
    }
    for (const id of [...this.rooms.keys()]) if (!ids.has(id) && !this.rooms.get(id).fresh) this.#removeRoom(id);
    for (const room of this.rooms.values()) room.fresh = false;
    this.synced = true;
    this.watch();
    if (changed) this.#emit('rooms');
    this.#renew();
  }

  #eager(room) {
    if (room.id === this.open) return true;
    return (room.request === 'received' ? this.requests() : this.list()).slice(0, EAGER_ROOMS).includes(room);
  }

  /** Rooms by activity, newest first, without those that the user deleted. */
  list() {
    const written = new Map();
    for (const { op, fields, created } of this.lynk?.outbox ?? []) if (op === 'send') written.set(fields.room, created);
    const at = (room) => Math.max(room.active, written.get(room.id) ?? 0);
    const listed = [...this.rooms.values()].filter((room) => room.request !== 'received').filter((room) => !room.hidden || room.id === this.open || written.has(room.id));
    return listed.map((room) => [room, at(room)]).sort((a, b) => b[1] - a[1] || (a[0].id < b[0].id ? -1 : 1)).map(([room]) => room);
  }

  /** Conversations that somebody else began and that wait for an answer, newest first. */
  requests() { return [...this.rooms.values()].filter((room) => room.request === 'received' && !room.hidden).sort((a, b) => b.active - a.active); }

  #settled(room) {
    if (!room) return;
    Object.assign(room, { request: undefined, settledAt: Date.now() });
    this.#changed(room);
  }

  /** Accepts or declines a request; declined on another device, or by a block, is declined. */
  async answer(id, accepted) {
    if (accepted) await this.lynk.acceptConversation(id);
    else await this.lynk.declineConversation(id).catch((error) => { if (!['conflict', 'room_not_found'].includes(error.code)) throw error; });
    if (accepted) this.#settled(this.rooms.get(id)); else this.#removeRoom(id);
  }

  /** Blocks the other side of a conversation; a request of theirs goes. */
  async block(room) {
    await this.lynk.request('block', { user: room.peer });
    if (room.request === 'received') await this.answer(room.id, false);
  }

  #removeRoom(id) {
    if (!this.rooms.delete(id)) return;
    this.lynk.unfollow(id);
    this.storage.remove('rooms', id).catch(() => {});
    settings.set(`draft.${this.me}.${id}`, undefined);
    this.#emit('removed', id);
    this.#emit('rooms');
  }

  /** A room that this user is in since just now, by the event of that `version`. */
  enter(id, known = {}, version = undefined) {
    if (version) this.#newer(id, version); else this.#versions.delete(id);
    let room = this.rooms.get(id);
    if (!room) {
      room = Object.assign(new Room(id), { active: Date.now(), fresh: true }, known);
      this.rooms.set(id, room);
    }
    Object.assign(room, { hidden: false, wanted: true });
    if (room.peer) this.name(room.peer);
    this.lynk.follow(id);
    this.watch();
    this.#emit('rooms');
    return room;
  }

  async create(name, kind) {
    const { room, version } = await this.lynk.create(name, { kind });
    return this.enter(room, { name, kind, role: 'owner', members: 1 }, version);
  }

  /** Joins the room of that name or link's code, unless this user is in it already. */
  async join(name) {
    if (/^[0-9a-f]{64}$/i.test(name)) return this.#joinByCode(name);
    const { room, kind } = await this.lynk.find(name);
    if (this.rooms.has(room)) return this.enter(room);
    return this.joinRoom(room, { name, kind: kind ?? 'public' }).catch((error) => { throw Object.assign(error, { room }); });
  }

  /** Joins a room by its id, with the code of a link where it takes one. */
  async joinRoom(room, known, code) {
    const joined = await this.lynk.join(room, code).catch((error) => { if (error.code !== 'conflict') throw error; });
    return this.enter(room, { role: 'member', ...known }, joined?.version);
  }

  async direct(user) {
    const { room, version, request } = await this.lynk.direct(user);
    const entered = this.enter(room, { kind: 'direct', peer: user }, version);
    // Whoever writes to who asked has accepted.
    Object.assign(entered, { request, settledAt: Date.now() });
    this.#changed(entered);
    return entered;
  }

  async directByName(name) {
    const user = await this.account.userByName(name);
    this.learn([user]);
    return this.direct(user.user);
  }

  /** Learns the settings of a room, which events tell only when they change. */
  async lookAbout(id) {
    const room = this.rooms.get(id);
    if (!room || room.direct || !this.lynk?.hello) return;
    try {
      const about = await this.lynk.request('about', { room: id });
      if (this.rooms.get(id) !== room) return;
      room.takeSettings(about);
      // Whoever joined by a name may have written it in another way.
      Object.assign(room, { name: about.name || room.name, members: about.members });
      this.#changed(room);
    } catch { /* It is asked again when the room is opened again. */ }
  }

  /** Changes settings of a room. */
  async change(id, settings) {
    await this.lynk.request('settings', { room: id, ...settings });
    const room = this.rooms.get(id);
    if (!room) return;
    room.takeSettings(settings);
    this.#changed(room);
  }

  async #joinByCode(code) {
    const { room, name, kind, avatar } = await this.lynk.look(code);
    return this.rooms.has(room) ? this.enter(room) : this.joinRoom(room, { name, kind, avatar: avatar ?? undefined }, code);
  }

  async deleteRoom(id) {
    const { version } = await this.lynk.request('delete_room', { room: id });
    if (version) this.#newer(id, version);
    this.#removeRoom(id);
  }

  async leave(id) {
    const { version } = await this.lynk.leave(id);
    if (version) this.#newer(id, version);
    this.#removeRoom(id);
  }

  /** Deletes the past of a conversation of two for this user, up to what is here. */
  async deleteForMe(id) {
    const room = this.rooms.get(id);
    const upto = this.lynk.cursor(id)?.seq ?? room.top;
    await this.lynk.request('clear', { room: id, seq: upto });
    settings.set(`draft.${this.me}.${id}`, undefined);
    room.wanted = false;
    this.#clear(room, upto);
  }

  /** What this user is notified of in a room. */
  async setNotifications(id, quietUntil, mentionsOnly) {
    const said = await this.account.authorised('PUT', `/rooms/${id}/notifications`, { ...(quietUntil && { muted_until: quietUntil }), ...(mentionsOnly !== undefined && { mentions_only: mentionsOnly }) });
    const room = this.rooms.get(id);
    if (!room) return;
    Object.assign(room, { quietUntil: said.muted_until ?? 0, mentionsOnly: said.mentions_only });
    this.#changed(room);
  }

  // ---- messages ----

  /** Loads a page of the past. Resolves with whether there was something to load. */
  async older(id, limit = PAGE) {
    const room = this.rooms.get(id);
    if (!room || room.loading || room.atStart) return false;
    const cursor = this.lynk.cursor(id);
    // Without a connection the past waits: the timeline asks again when there is one.
    if (!cursor || !this.lynk.hello) return false;
    room.loading = true;
    const { history } = room;
    try {
      const page = await this.lynk.history(id, { before: room.low ?? cursor.seq + 1, limit, all: true });
      if (this.rooms.get(id) !== room || history !== room.history) return false;
      room.older(page);
      for (const event of page.events) if (event.ev !== 'gap') this.name(event.from);
      const newest = page.events.find((event) => event.ev === 'message' && event.from !== this.me);
      if (newest && newest.seq > room.read) this.#tell(id, 'delivered', newest.seq);
      room.failed = undefined;
    } catch (error) {
      room.failed = error.code === 'disconnected' ? undefined : error;
      return false;
    } finally {
      room.loading = false;
      this.#changed(room);
    }
    return true;
  }

  /** The first message that is not older than a time, or the newest one; `undefined` where there is none. */
  async messageAt(id, millis) {
    for (const place of [{ at: millis }, {}]) {
      const page = await this.lynk.history(id, { ...place, limit: 1 });
      const message = page.events.find((event) => event.ev === 'message');
      if (message) return message.seq;
    }
    return undefined;
  }

  /** Own messages of a room that were not acknowledged yet, oldest first. */
  waiting(id) {
    return this.lynk?.outbox.filter((entry) => entry.op === 'send' && entry.fields.room === id && !this.#shadows.has(entry.id)) ?? [];
  }

  /** Changes of a message that were not acknowledged yet. */
  pendingFor(id, seq) {
    return this.lynk?.outbox.filter((entry) => entry.fields.room === id && entry.fields.seq === seq && !entry.failed) ?? [];
  }

  send(id, text, replyTo, attachments = []) {
    this.typing(id, false);
    return this.lynk.send(id, text, { replyTo, attachments, ...this.#whom(id, text) });
  }

  edit(id, seq, text) { return this.lynk.edit(id, seq, text, this.#whom(id, text)); }

  /** Members that can be mentioned, as far as they are known: those who spoke last first. */
  peopleOf(room) {
    if (room.direct) return [];
    const spoke = room.order.map((seq) => room.items.get(seq)).filter((item) => item.ev === 'message').map((item) => item.from).reverse();
    const known = [...new Set([...spoke.filter((user) => room.people.has(user)), ...room.people])].map((user) => this.users.get(user));
    return known.filter((user) => user?.user_name && user.id !== this.me).map((user) => ({ id: user.id, tag: user.user_name, name: user.display_name || user.user_name }));
  }

  #whom(id, text) {
    const room = this.rooms.get(id);
    if (!room || room.direct || !text.includes('@')) return {};
    const people = new Map(this.peopleOf(room).map(({ id: user, tag }) => [fold(tag), user]));
    return mentionsIn(text, (name) => people.get(name), room.manages);
  }

  /** How to show `@name` of a message: `me`, `other`, or not at all. */
  mentionOf(message, name) {
    const wanted = fold(name);
    if (message.mention_all && wanted === ALL) return 'me';
    const user = message.mentions?.find((mentioned) => fold(this.users.get(mentioned)?.user_name ?? '') === wanted);
    return user && (user === this.me ? 'me' : 'other');
  }

  react(id, seq, emoji) {
    const message = this.rooms.get(id)?.items.get(seq);
    if (!message || message.deleted) return;
    this.lynk.react(id, seq, emoji, !this.reactionsOf(id, message).get(emoji)?.has(this.me));
  }

  /** Reactions of a message, with those of this user that wait. */
  reactionsOf(id, message) {
    const pending = this.pendingFor(id, message.seq).filter((entry) => entry.op === 'react');
    if (pending.length === 0) return message.reactions;
    const shown = new Map([...message.reactions].map(([emoji, users]) => [emoji, new Set(users)]));
    for (const { fields } of pending) {
      const users = shown.get(fields.emoji) ?? new Set();
      if (fields.on) users.add(this.me); else users.delete(this.me);
      if (users.size) shown.set(fields.emoji, users); else shown.delete(fields.emoji);
    }
    return shown;
  }

  // ---- read, delivered, typing ----

  /** This user has seen the messages up to `seq`. */
  markRead(id, seq) {
    const room = this.rooms.get(id);
    if (!room || seq <= room.read) return;
    room.read = seq;
    this.#recount(room);
    this.#tell(id, 'read', seq);
    this.#tabs?.postMessage({ user: this.me, room: id, seq });
    this.#changed(room);
  }

  async markUnread(id, seq) {
    const numbers = await this.lynk.request('mark_unread', { room: id, seq });
    const room = this.rooms.get(id);
    this.#told.delete(`read ${id}`);
    Object.assign(room, { read: seq - 1, acked: seq - 1, markedAt: Date.now() });
    this.#adopt(room, numbers);
    this.#changed(room);
  }

  #recount(room) {
    const counted = room.recount(this.me);
    if (counted) this.#adopt(room, counted);
    else { if (room.read >= (this.lynk.cursor(room.id)?.seq ?? Infinity)) this.#adopt(room, { unread: 0 }); this.sync(); }
  }

  #tell(id, op, seq) {
    const key = `${op} ${id}`;
    if ((this.#told.get(key)?.seq ?? 0) >= seq) return;
    this.#told.set(key, { id, op, seq });
    this.#tellTimer ??= setTimeout(() => this.#tellNow(), 400);
  }

  #tellNow() {
    clearTimeout(this.#tellTimer);
    this.#tellTimer = undefined;
    if (!this.lynk.online) return;
    for (const { id, op, seq } of this.#told.values()) {
      if (op === 'read') this.#tellRead(id, seq); else this.lynk.tell(op, { room: id, seq });
    }
    this.#told.clear();
  }

  async #tellRead(id, seq) {
    await this.lynk.request('read', { room: id, seq }).then(() => {
      const room = this.rooms.get(id);
      if (room && seq > (room.acked ?? 0)) Object.assign(room, { acked: seq, ackedAt: Date.now() });
    }, () => {}); // It is told again with the next subscription.
  }

  /** This user writes, or stopped. */
  typing(id, on) {
    if (this.rooms.get(id)?.request) return;
    const now = Date.now();
    if (on) {
      if (this.#typed.room === id && now - this.#typed.at < TYPING_EVERY_MS) return;
      this.#typed = { room: id, at: now };
      this.lynk.typing(id, true);
    } else if (this.#typed.room === id) {
      this.#typed = { room: undefined, at: 0 };
      this.lynk.typing(id, false);
    }
  }

  typingIn(room) { return [...room.typing].filter(([, until]) => until > Date.now()).map(([user]) => user); }

  // ---- people ----

  /** What to call a user; unknown ones are looked up, and `users` tells when that is done. */
  name(id) {
    // The `from` of a gap is a number.
    if (typeof id !== 'string' || /^[0-]+$/.test(id)) return 'The server';
    const user = this.users.get(id);
    if (user && !user.missing) return user.display_name || user.user_name;
    if (!user) this.lookAgain(id);
    return user ? 'Somebody' : '…';
  }

  /** Asks for a profile as it is now. */
  lookAgain(id) {
    if (this.#asking.has(id)) return;
    this.#asking.add(id);
    this.#askTimer ??= setTimeout(() => this.#askNames(), 30);
  }

  /** Takes profiles as they are now. */
  learn(users) {
    for (const user of users) this.users.set(user.user, { id: user.user, ...user });
    this.storage?.put('users', ...users.map((user) => ({ id: user.user, ...user }))).catch(() => {});
    this.#emit('users');
    this.#emit('rooms');
  }

  async #askNames() {
    this.#askTimer = undefined;
    const ids = [...this.#asking].slice(0, 100);
    try {
      const users = await this.account.users(ids);
      const found = new Set(users.map((user) => user.user));
      for (const id of ids) if (!found.has(id)) this.users.set(id, { id, missing: true });
      for (const id of ids) this.#asking.delete(id);
      this.learn(users);
      if (this.#asking.size) this.#askTimer = setTimeout(() => this.#askNames(), 30);
    } catch (error) {
      if (error.code !== 'signed_out') this.#askTimer = setTimeout(() => this.#askNames(), 3_000);
    }
  }

  /** People change their names and pictures: those of conversations, then others, are looked up again with the list of rooms, at most once in some minutes. */
  async #renew() {
    if (Date.now() - this.#renewedAt < RENEW_MS) return;
    this.#renewedAt = Date.now();
    const peers = this.list().map((room) => room.peer).filter(Boolean);
    const ids = [...new Set([...peers, ...this.users.keys()])].filter((id) => this.users.get(id) && !this.users.get(id).missing).slice(0, 100);
    if (!ids.length) return;
    const users = await this.account.users(ids).catch(() => []);
    const newer = users.filter((user) => user.updated_at !== this.users.get(user.user)?.updated_at);
    if (newer.length) this.learn(newer);
  }

  title(room) { return room.direct ? this.name(room.peer) : room.name || 'Room'; }

  /** Watches the other side of conversations, and the `more` people. */
  async watch(more = []) {
    if (!this.lynk.online) return;
    const wanted = new Set([...more, ...this.list().filter((room) => room.peer).map((room) => room.peer)].slice(0, WATCH_MAX));
    wanted.delete(this.me);
    const start = [...wanted].filter((user) => !this.#watched.has(user));
    for (const user of start) this.#watched.add(user);
    if (start.length) await this.lynk.watch(start).catch(() => { for (const user of start) this.#watched.delete(user); });
  }

  /** Asks once per connection how far the others have read, of servers that tell. */
  async learnPositions(id) {
    const room = this.rooms.get(id);
    const { hello } = this.lynk;
    if (!room || !hello || room.asked === hello.session || !hello.features?.includes('positions')) return;
    room.asked = hello.session;
    const { members } = await this.lynk.members(id, { limit: 500 }).catch(() => ({ members: [] }));
    for (const { user } of members) { room.people.add(user); this.name(user); }
    this.learnReceipts(room, members);
  }

  learnReceipts(room, members) {
    let changed = false;
    for (const member of members) {
      for (const kind of ['read', 'delivered']) if (member[kind] && member.user !== this.me) changed = room.receipt(kind, member.user, member[kind]) || changed;
    }
    if (changed) this.#changed(room);
  }

  /** How many are connected to a room now. */
  async lookHere(id) {
    if (!this.lynk.online) return;
    const { count, users } = await this.lynk.here(id).catch(() => ({}));
    if (count === undefined) return;
    this.here.set(id, { count, users });
    this.#emit('presence');
  }

  /** Unread messages of rooms that are neither muted nor wait for an answer. */
  get unread() { return [...this.rooms.values()].reduce((sum, room) => sum + (room.quiet || room.request ? 0 : room.unread || 0), 0); }

  /** Whether this user wants to be told of a message. */
  wantsNews(room, message) { return !room.quiet && room.request !== 'received' && (!room.mentionsOnly || room.calls(message, this.me)); }
}
