/** One room as this browser has it: messages without holes from `low` up to the newest, receipts, unread. No I/O, no elements. */

import { parseTime } from '../lynk.js';

/** Messages kept over a restart, and kept in memory of a room that nobody looks at. */
const KEPT = 80;
const IDLE = 150;
/** Notes about the room that are shown between the messages. */
const NOTES = new Set(['created', 'joined', 'left', 'kicked', 'banned', 'unbanned', 'muted', 'unmuted', 'role', 'transferred', 'settings', 'pinned', 'gap']);

export class Room {
  constructor(id) {
    this.id = id;
    this.kind = 'public';
    this.name = '';
    this.peer = undefined;
    this.role = undefined;
    this.members = undefined;
    this.active = 0;
    this.read = 0;
    this.unread = 0;
    /** Unread messages that mention this user. */
    this.mentions = 0;
    /** Users who are known to be members. */
    this.people = new Set();
    /** Messages and notes by `seq`, ascending. */
    this.items = new Map();
    this.order = [];
    /** Everything from here up to the cursor is in `items`; `undefined` before the first page. */
    this.low = undefined;
    this.loading = false;
    /** By user: `{read, delivered}`. */
    this.receipts = new Map();
    /** By user: when it ends. */
    this.typing = new Map();
    this.cursor = undefined;
    this.mutedUntil = undefined;
    /** `sent` or `received` of a conversation that waits to be accepted. */
    this.request = undefined;
    /** Only moderators and above post. */
    this.readOnly = false;
    this.description = '';
    /** The id of its picture. */
    this.avatar = undefined;
    /** Members at most; 0 for the server's limit. */
    this.maxMembers = 0;
    this.retentionDays = 0;
    /** Seconds between two messages of a member; 0 for none. */
    this.slowMode = 0;
    /** What new members see of the past, `all` or `since_join`; unknown until it was asked for. */
    this.visibility = undefined;
    /** The past up to here is deleted for this user; without a message after it the room is not listed. */
    this.cleared = 0;
    this.hidden = false;
    /** No notifications before this time; `mentionsOnly` as in `sync`. */
    this.quietUntil = 0;
    this.mentionsOnly = undefined;
    this.version = 0;
    /** Which history `items` are of: a page of another one is dropped. */
    this.history = 0;
  }

  get direct() { return this.kind === 'direct'; }
  get atStart() { return this.low !== undefined && this.low <= 1; }
  get ready() { return this.low !== undefined; }
  get newest() { return this.order.at(-1); }
  get quiet() { return this.quietUntil > Date.now(); }
  get manages() { return this.role === 'owner' || this.role === 'admin' || this.role === 'moderator'; }

  get mayPost() { return this.direct || !this.readOnly || this.manages; }

  /** Takes settings, from their event or from the answer to `about`; what is not there stays. */
  takeSettings(from) {
    if (from.kind !== undefined) this.kind = from.kind;
    if (from.avatar !== undefined) this.avatar = from.avatar ?? undefined;
    if (from.description !== undefined) this.description = from.description;
    if (from.max_members !== undefined) this.maxMembers = from.max_members;
    if (from.read_only !== undefined) this.readOnly = from.read_only;
    if (from.retention_days !== undefined) this.retentionDays = from.retention_days;
    if (from.slow_mode_seconds !== undefined) this.slowMode = from.slow_mode_seconds;
    if (from.visibility !== undefined) this.visibility = from.visibility;
  }

  /** The newest message that is still there, for the list. */
  get preview() {
    for (let i = this.order.length - 1; i >= 0; i--) {
      const item = this.items.get(this.order[i]);
      if (item.ev === 'message') return item;
    }
    return undefined;
  }

  /** Forgets messages: the history is another one. */
  reset() {
    this.items.clear();
    this.order = [];
    this.low = undefined;
    this.receipts.clear();
    this.history++;
    this.version++;
  }

  /** Forgets what the user has deleted. `true` when that is news. */
  clear(upto, me) {
    if (upto <= this.cleared) return false;
    this.cleared = upto;
    for (const seq of this.order) if (seq <= upto) this.items.delete(seq);
    this.order = this.order.filter((seq) => seq > upto);
    this.read = Math.max(this.read, upto);
    if (this.low !== undefined && this.low <= upto + 1) this.low = 1;
    this.hidden = this.preview === undefined;
    Object.assign(this, this.recount(me) ?? {});
    // A page that is on its way was asked for before.
    this.history++;
    this.version++;
    return true;
  }

  #item(event) {
    const item = { ...event, seq: event.ev === 'gap' ? event.to : event.seq, time: parseTime(event.time) || 0 };
    if (event.ev === 'message') {
      item.reactions = new Map((event.reactions ?? []).map(({ emoji, users }) => [emoji, new Set(users)]));
    }
    return item;
  }

  #insert(item) {
    if (this.items.has(item.seq) || item.seq <= this.cleared) return;
    this.items.set(item.seq, item);
    if (this.order.length === 0 || item.seq > this.order.at(-1)) this.order.push(item.seq);
    else {
      const at = this.order.findIndex((seq) => seq > item.seq);
      this.order.splice(at, 0, item.seq);
    }
  }

  /** Whether a message mentions the user here. */
  calls(message, me) { return message.from !== me && !message.deleted && Boolean(message.mention_all || message.mentions?.includes(me)); }

  #call(more, counted, seq) { if (!counted && seq > this.read) this.mentions = Math.max(0, this.mentions + more); }

  /** Applies an event that is the next one. `me` is the user here; `counted`: the unread number speaks for it already. */
  apply(event, me, counted) {
    this.version++;
    const time = parseTime(event.time) || 0;
    if (event.ev !== 'gap') this.active = Math.max(this.active, time);
    const target = event.target === undefined ? undefined : this.items.get(event.target);
    switch (event.ev) {
      case 'message':
        this.#insert(this.#item(event));
        this.typing.delete(event.from);
        if (event.seq > this.cleared) this.hidden = false;
        if (!counted && event.from !== me && !event.deleted && event.seq > this.read) this.unread++;
        if (this.calls(event, me)) this.#call(1, counted, event.seq);
        break;
      case 'edit':
        if (target && !target.deleted) {
          const before = this.calls(target, me);
          Object.assign(target, { text: event.text, edited: true, mentions: event.mentions, mention_all: event.mention_all });
          this.#call(this.calls(target, me) - before, counted, target.seq);
        }
        break;
      case 'delete':
        if (!counted && event.target > this.read && target && target.from !== me && !target.deleted) this.unread = Math.max(0, this.unread - 1);
        if (target) {
          if (this.calls(target, me)) this.#call(-1, counted, target.seq);
          Object.assign(target, { deleted: true, text: undefined, attachments: undefined });
          target.reactions?.clear();
        }
        break;
      case 'reaction':
        if (target?.reactions) this.react(target, event.emoji, event.from, event.on);
        break;
      case 'pinned':
        if (target) target.pinned = event.on;
        this.#insert(this.#item(event));
        break;
      case 'joined':
        if (this.members !== undefined && !counted) this.members++;
        if (event.user === me) this.role = event.role ?? this.role;
        this.people.add(event.user);
        this.#insert(this.#item(event));
        break;
      case 'left': case 'kicked': case 'banned':
        if (this.members !== undefined && !counted) this.members = Math.max(0, this.members - 1);
        this.receipts.delete(event.user);
        this.people.delete(event.user);
        this.typing.delete(event.user);
        this.#insert(this.#item(event));
        break;
      case 'role':
        if (event.user === me) this.role = event.role;
        this.#insert(this.#item(event));
        break;
      case 'transferred':
        if (event.user === me) this.role = 'owner';
        else if (event.from === me) this.role = 'admin';
        this.#insert(this.#item(event));
        break;
      case 'muted': case 'unmuted':
        if (event.user === me) this.mutedUntil = event.ev === 'muted' ? parseTime(event.until) || Infinity : undefined;
        this.#insert(this.#item(event));
        break;
      case 'settings':
        this.takeSettings(event);
        if (event.name && event.name !== this.name) {
          this.#insert({ ...this.#item(event), renamed: this.name !== '' });
          this.name = event.name;
        }
        break;
      default:
        if (NOTES.has(event.ev)) this.#insert(this.#item(event));
    }
    if (this.low === undefined && event.seq === 1) this.low = 1;
  }

  react(message, emoji, user, on) {
    if (!message.reactions.has(emoji)) message.reactions.set(emoji, new Set());
    const users = message.reactions.get(emoji);
    if (on) users.add(user); else users.delete(user);
    if (users.size === 0) message.reactions.delete(emoji);
  }

  /** Takes a page of the past, newest first, that ends where `items` begin. */
  older(page) {
    this.version++;
    for (const event of page.events) if (event.ev === 'message' || NOTES.has(event.ev)) this.#insert(this.#item(event));
    const { from } = page.covers;
    // An empty page says that there is nothing below.
    this.low = page.more ? Math.min(this.low ?? from, from) : 1;
  }

  /** `{unread, mentions}` by what is here; `undefined` when that does not reach far enough. */
  recount(me) {
    if (this.low === undefined || this.low > this.read + 1) return undefined;
    let unread = 0;
    let mentions = 0;
    for (let i = this.order.length - 1; i >= 0 && this.order[i] > this.read; i--) {
      const item = this.items.get(this.order[i]);
      if (item.ev !== 'message' || item.from === me || item.deleted) continue;
      unread++;
      if (this.calls(item, me)) mentions++;
    }
    return { unread, mentions };
  }

  receipt(kind, user, seq) {
    const receipt = this.receipts.get(user) ?? { read: 0, delivered: 0 };
    if (seq <= receipt[kind]) return false;
    receipt[kind] = seq;
    if (kind === 'read') receipt.delivered = Math.max(receipt.delivered, seq);
    this.receipts.set(user, receipt);
    this.version++;
    return true;
  }

  /** Who has read an own message, and whose device has it. */
  reachOf(seq, me) {
    const read = [];
    const delivered = [];
    for (const [user, receipt] of this.receipts) {
      if (user === me) continue;
      if (receipt.read >= seq) read.push(user);
      else if (receipt.delivered >= seq) delivered.push(user);
    }
    return { read, delivered };
  }

  /** Lets go of old messages of a room that nobody looks at. */
  trim(to = IDLE) {
    if (this.order.length <= to) return;
    const gone = this.order.splice(0, this.order.length - to);
    for (const seq of gone) this.items.delete(seq);
    this.low = this.order[0];
    this.version++;
  }

  /** For storage; `cursor` is the last event that `items` speak for. */
  toRecord(cursor) {
    const kept = this.order.slice(-KEPT);
    const low = kept.length < this.order.length ? kept[0] : this.low;
    return {
      id: this.id, kind: this.kind, name: this.name, peer: this.peer, role: this.role, members: this.members, active: this.active, read: this.read, acked: this.acked,
      unread: this.unread, mentions: this.mentions, cursor, low, receipts: [...this.receipts], mutedUntil: this.mutedUntil, readOnly: this.readOnly,
      request: this.request, description: this.description, avatar: this.avatar, maxMembers: this.maxMembers, retentionDays: this.retentionDays, slowMode: this.slowMode, visibility: this.visibility,
      cleared: this.cleared, hidden: this.hidden, quietUntil: this.quietUntil, mentionsOnly: this.mentionsOnly,
      items: kept.map((seq) => {
        const item = this.items.get(seq);
        return item.reactions ? { ...item, reactions: [...item.reactions].map(([emoji, users]) => [emoji, [...users]]) } : item;
      }),
    };
  }

  static ofRecord(record) {
    const room = new Room(record.id);
    const { items, receipts, ...rest } = record;
    Object.assign(room, rest);
    room.receipts = new Map(receipts);
    for (const item of items) {
      if (item.reactions) item.reactions = new Map(item.reactions.map(([emoji, users]) => [emoji, new Set(users)]));
      room.items.set(item.seq, item);
      room.order.push(item.seq);
    }
    return room;
  }
}
