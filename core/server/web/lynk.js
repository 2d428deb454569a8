/**
 * The Lynk client library: these files (`lynk*.js`), no dependency, for browsers and for Node 20 or newer.
 *
 * {@link Lynk} holds one connection to a server: it signs in, resumes every room before it calls itself connected,
 * delivers the events of a room in the order of their `seq` and each once, and keeps what was not acknowledged in an
 * outbox that is repeated under the same keys. {@link LynkAccount} is the HTTP side: signing in by phone, tokens
 * that several tabs may refresh at once, files. Types are in `lynk.d.ts`; the guide is `docs/client.md`.
 *
 * @module lynk
 */

import { Emitter, LynkError, parseTime, tokenLife, uuidv7 } from './lynk-base.js';

export { LynkError, parseTime, tokenLife, uuidv7 } from './lynk-base.js';
export { LynkAccount } from './lynk-account.js';
export { Upload } from './lynk-media.js';

/** Backoff between two attempts to connect: full jitter up to a bound that doubles. Milliseconds. */
const BACKOFF_MIN_MS = 200;
const BACKOFF_MAX_MS = 20_000;
const STABLE_MS = 5_000; // A connection that lived for so long starts the backoff anew
const OPEN_MAX_MS = 15_000; // Time for connecting and for the answer to `hello`
const CLOSE_MAX_MS = 500; // Time for the close that follows a failure; without it the connection is dropped here
const PONG_MAX_MS = 10_000; // Time for the answer to a `ping` before the connection counts as lost
const HANGS_MS = 5_000; // Time after which `wake` no longer waits for a token, and asks whether a quiet connection still lives
const REFRESH_AHEAD_MS = 60_000; // Time before a token's end at which it is replaced
const WAITING_MAX = 10_000; // Events of one room that wait for earlier ones. Beyond it the newest are dropped, and paged again later
const OUTBOX_MAX = 1_000; // Commands in the outbox; further ones are refused with `limit_reached`
const IN_FLIGHT_MAX = 24; // Commands on the wire at once; the server's own bound is in `hello`
const QUEUE_MAX = 5_000; // Questions that wait for their turn
const QUESTION_TRIES = 6; // How often a question that was refused for the time being is asked again
/** Close codes after which connecting again cannot help. */
const FINAL_CODES = new Set([1002, 1003, 1007, 1008, 1009]);
/** The event that others are told when an own command took effect; this connection is told the `ok` instead. */
const OWN_EVENTS = { send: 'message', edit: 'edit', delete: 'delete', react: 'reaction', role: 'role', kick: 'kicked', ban: 'banned',
  unban: 'unbanned', mute: 'muted', unmute: 'unmuted', invite: 'joined', leave: 'left', pin: 'pinned', settings: 'settings',
  transfer: 'transferred', join: 'joined', delete_room: 'deleted', accept_request: 'joined' };
/** Commands that carry an idempotency key. */
const KEYED = new Set([...Object.keys(OWN_EVENTS), 'create', 'block', 'unblock', 'link', 'unlink', 'request_join', 'withdraw_request',
  'decline_request', 'report', 'resolve_report', 'accept_conversation', 'decline_conversation']);

const mentioned = ({ mentions, mentionAll }) => ({ ...(mentions?.length && { mentions }), ...(mentionAll && { mention_all: true }) });
const spanOf = (event) => (event.ev === 'gap' ? [event.from, event.to] : [event.seq, event.seq]);

/**
 * What a client has of one room: events come out in the order of `seq`, each once; what is early waits; what is missing is
 * paged; what will never come is a `gap`. No I/O.
 */
export class RoomFlow {
  constructor(cursor) {
    /** `{epoch, seq}` of the last event delivered; `undefined` before the first `subscribed`. */
    this.cursor = cursor ? { epoch: cursor.epoch, seq: cursor.seq } : undefined;
    this.top = this.cursor?.seq ?? 0;
    this.waiting = new Map();
    this.filling = this.resuming = this.subscribed = false;
    /** Numbers in the last `subscribed` speak for events up to here. */
    this.counted = 0;
    this.pageNotBefore = 0;
  }
  disconnected() { Object.assign(this, { filling: false, resuming: false, subscribed: false, pageNotBefore: 0 }); }
  get lacksPage() { return this.cursor !== undefined && this.cursor.seq < this.top; }
  /** Takes the answer to a subscription; returns whether the history is another one, and the events to deliver. */
  take(reply) {
    const reset = this.cursor !== undefined && this.cursor.epoch !== reply.epoch;
    this.subscribed = true;
    this.counted = reply.top;
    if (this.cursor === undefined || reset) {
      // Of another history, what waits is worthless: the app is told to forget what it has.
      if (reset) this.waiting.clear();
      this.top = reset ? reply.top : Math.max(this.top, reply.top);
      this.cursor = { epoch: reply.epoch, seq: reply.top };
      return { reset, events: this.#drain() };
    }
    this.top = Math.max(this.top, reply.top);
    const events = this.#takePage(reply);
    return { reset, events: events.concat(this.#drain()) };
  }
  /** Takes a live event, or an own one; returns the events to deliver now. */
  event(event) {
    const [from, to] = spanOf(event);
    this.top = Math.max(this.top, to);
    if ((this.cursor === undefined || to > this.cursor.seq) && this.waiting.size < WAITING_MAX) this.waiting.set(from, event);
    return this.#drain();
  }
  /** Takes a page; returns the events to deliver now. */
  page(reply) {
    this.filling = false;
    const before = this.cursor.seq;
    const events = this.#takePage(reply).concat(this.#drain());
    if (this.cursor.seq !== before) return events;
    const next = Math.min(...this.waiting.keys());
    if (next === Infinity) { this.top = this.cursor.seq; return events; }
    // The server has nothing between: say so rather than ask for ever.
    events.push({ ev: 'gap', from: before + 1, to: next - 1, reason: 'unexplained' });
    this.cursor.seq = next - 1;
    return events.concat(this.#drain());
  }
  resync({ epoch, to }) {
    this.top = Math.max(this.top, to);
    if (this.cursor && epoch !== undefined) this.cursor.epoch = epoch;
  }
  #takePage(page) {
    const events = [];
    const { from, to } = page.covers ?? { from: 1, to: 0 };
    const continues = from <= this.cursor.seq + 1;
    for (const event of page.events ?? []) {
      const [first, last] = spanOf(event);
      if (last <= this.cursor.seq) continue;
      if (continues) { this.cursor.seq = last; events.push(event); } else if (this.waiting.size < WAITING_MAX) this.waiting.set(first, event);
    }
    if (continues) this.cursor.seq = Math.max(this.cursor.seq, to);
    return events;
  }
  #drain() {
    const events = [];
    if (this.cursor === undefined || this.waiting.size === 0) return events;
    for (const from of [...this.waiting.keys()].sort((a, b) => a - b)) {
      const event = this.waiting.get(from);
      const to = spanOf(event)[1];
      if (to > this.cursor.seq && from > this.cursor.seq + 1) break;
      this.waiting.delete(from);
      if (to > this.cursor.seq) { this.cursor.seq = to; events.push(event); }
    }
    return events;
  }
}

/** How long to wait before attempt number `attempts` (from 0): full jitter, and never less than the server asked for. */
export function backoff(attempts, random, retryAfterMs = 0) {
  const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempts, 16));
  return retryAfterMs + Math.ceil(random * bound);
}

/** One connection to a server, kept for as long as it is wanted. */
export class Lynk extends Emitter {
  #options; #clock; #wanted = false; #timers = new Map(); #offset = 0;
  #ws; #opening = 0; #openings = 0; #attempts = 0; #onlineSince = 0; #retryAfter = 0; #forceToken = false; #forced = false; #refused; #heard = 0;
  #re = 0; #asked = new Map(); #queue = []; #histories = 0;
  #flows = new Map(); #outbox = new Map(); #fetches = new Set();
  /** @param {import('./lynk.d.ts').LynkOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#clock = { now: () => Date.now(), random: () => Math.random(), setTimeout: (f, ms) => setTimeout(f, ms),
      clearTimeout: (timer) => clearTimeout(timer), ...options.clock };
    /** `{state: 'connecting'}`, `{state: 'connected'}` or `{state: 'disconnected', code, reason, willRetry, retryAt?}`. */
    this.status = { state: 'disconnected', code: 1000, reason: 'not connected yet', willRetry: false };
    /** The answer to `hello`: `session`, `user`, `limits` … */
    this.hello = undefined;
    this.ready = Promise.resolve(options.outbox?.load()).then((entries) => {
      for (const entry of entries ?? []) if (!this.#outbox.has(entry.id)) this.#outbox.set(entry.id, { ...entry, sent: false, notBefore: 0 });
      if (entries?.length) this.emit('outbox', { loaded: true });
      this.#pump();
    });
  }
  get user() { return this.hello?.user; }
  get online() { return this.status.state === 'connected'; }
  /** Milliseconds since 1970 on the server's clock. */
  get serverNow() { return this.#clock.now() + this.#offset; }
  /** Connects, and again whenever the connection is lost, until {@link close} or a refusal for good. */
  connect() {
    this.#wanted = true;
    if (this.#ws || this.#opening) return;
    this.#open();
  }
  /** The network may be back, or the page is looked at again: connects at once, or asks whether the connection still lives. */
  wake() {
    if (!this.#wanted) return;
    const hanging = [...this.#fetches].filter(({ since }) => this.#clock.now() - since > HANGS_MS);
    for (const fetch of hanging) { this.#fetches.delete(fetch); fetch.abort(); }
    if (!this.#ws) {
      // While a token is on its way there is nothing to hurry, unless that is what hangs: then what comes of it does not count.
      if (this.#opening && !hanging.some(({ opening }) => opening === this.#opening)) return;
      this.#attempts = 0;
      this.#open();
    } else if (this.hello && this.#clock.now() - this.#heard > HANGS_MS) {
      this.#ping(PONG_MAX_MS / 2);
    }
  }
  /** Ends the connection and everything that was asked on it. The outbox stays. */
  close(code = 1000, reason = 'bye') {
    this.#wanted = false;
    this.#lost(code, reason, false);
  }
  /** `{epoch, seq}` of the last event delivered of a room. */
  cursor(room) {
    const cursor = this.#flows.get(room)?.cursor;
    return cursor && { ...cursor };
  }
  /** Rooms that are followed. */
  get rooms() { return [...this.#flows.keys()]; }

  // ---- connection ----
  #status(status) {
    this.status = status;
    this.emit('state', status);
  }
  #timer(name, ms, action) {
    this.#clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
    if (action) this.#timers.set(name, this.#clock.setTimeout(() => { this.#timers.delete(name); action(); }, Math.min(ms, 2 ** 31 - 1)));
  }
  /** Asks for a token in a way that `wake` can call off. */
  async #token(force, opening) {
    const call = new AbortController();
    const fetch = { since: this.#clock.now(), opening, abort: () => call.abort() };
    this.#fetches.add(fetch);
    try { return await this.#options.token({ force, signal: call.signal }); } finally { this.#fetches.delete(fetch); }
  }
  async #open() {
    const opening = this.#opening = ++this.#openings;
    this.#timer('retry');
    this.#refused = undefined;
    this.#status({ state: 'connecting' });
    const force = this.#forceToken;
    let access;
    try { access = await this.#token(force, opening); } catch (error) {
      if (opening === this.#opening) this.#lost(error.retryable === false ? 4000 : 1006, error.message, error.retryable !== false, error.retryAfterMs);
      return;
    }
    if (opening !== this.#opening) return;
    this.#forced = force;
    this.#forceToken = false;
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    let ws;
    try { ws = new Socket(this.#options.url, 'lynk.v1'); } catch (error) { this.#lost(1006, error.message, true); return; }
    this.#ws = ws;
    this.#timer('open', OPEN_MAX_MS, () => this.#lost(1006, 'no answer in time', true));
    ws.onopen = () => {
      if (ws !== this.#ws) return;
      const resume = [];
      for (const [room, flow] of this.#flows) { flow.resuming = true; resume.push({ room, ...flow.cursor }); }
      const proof = typeof access === 'string' ? { token: access } : access;
      this.#ask('hello', { ...proof, resume }, (hello) => this.#signedIn(hello)).catch((error) => {
        this.#refused = error;
        if (ws === this.#ws) this.#timer('open', CLOSE_MAX_MS, () => this.#closed(error.retryable ? 1013 : 4000));
      });
    };
    ws.onmessage = ({ data }) => ws === this.#ws && this.#frame(data);
    ws.onclose = ({ code, reason }) => ws === this.#ws && this.#closed(code, reason);
    // Node 20 does not always close what could not be opened.
    ws.onerror = () => ws === this.#ws && this.#timer('open', CLOSE_MAX_MS, () => this.#closed(1006, 'no connection'));
  }
  #closed(code, reason) {
    const refused = this.#refused?.code;
    // A token that ran out is worth a new one. So is, once, one that seemed good and is not accepted: keys change, and clocks are wrong.
    const doubted = !this.hello && (refused ? refused === 'invalid_token' : code === 4000) && !this.#forced;
    const renew = doubted || code === 4100 || refused === 'token_expired';
    if (renew) this.#forceToken = true;
    const final = (code >= 4000 && code < 4100) || FINAL_CODES.has(code);
    this.#lost(code, reason || this.#refused?.message || '', renew || !final, this.#refused?.retryAfterMs);
  }
  #lost(code, reason, willRetry, retryAfterMs = 0) {
    const ws = this.#ws;
    this.#ws = undefined;
    this.#opening = 0;
    this.hello = undefined;
    for (const name of ['open', 'silence', 'pong', 'refresh']) this.#timer(name);
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      try { ws.close(code === 1000 ? 1000 : undefined); } catch { /* It is gone already. */ }
    }
    const gone = new LynkError('disconnected', reason || 'the connection was lost', { retryable: true });
    const asked = [...this.#asked.values(), ...this.#queue];
    this.#asked.clear();
    this.#queue = [];
    this.#histories = 0;
    for (const flow of this.#flows.values()) flow.disconnected();
    for (const entry of this.#outbox.values()) entry.sent = false;
    for (const item of asked) item.reject(gone);
    if (this.#onlineSince && this.#clock.now() - this.#onlineSince >= STABLE_MS) this.#attempts = 0;
    this.#onlineSince = 0;
    const retry = willRetry && this.#wanted;
    const wait = backoff(this.#attempts, this.#clock.random(), Math.max(this.#retryAfter, retryAfterMs));
    this.#attempts += retry ? 1 : 0;
    this.#wanted = retry;
    this.#retryAfter = 0;
    this.#timer('retry', wait, retry && (() => this.#open()));
    this.#status({ state: 'disconnected', code, reason, willRetry: retry, ...(retry && { retryAt: this.#clock.now() + wait }) });
  }
  #signedIn(hello) {
    this.#timer('open');
    this.#opening = 0;
    this.hello = hello;
    this.#offset = parseTime(hello.time) - this.#clock.now() || 0;
    this.#expires(hello.expires);
    this.#watchSilence();
    this.emit('hello', hello);
    // Rooms that were added while `hello` was on its way were not named in it.
    for (const [room, flow] of this.#flows) if (!flow.resuming && !flow.subscribed) this.#subscribe(room, flow);
    this.#settle();
  }
  #expires(time) {
    const left = parseTime(time) - this.serverNow;
    if (Number.isFinite(left)) this.#timer('refresh', Math.max(left - REFRESH_AHEAD_MS, Math.min(left / 2, 5_000)), () => this.#refresh());
  }
  async #refresh() {
    const { hello } = this;
    try {
      const access = await this.#token(true);
      const token = typeof access === 'string' ? access : access.token;
      if (!token || hello !== this.hello || !hello) return;
      const { expires } = await this.#ask('refresh', { token });
      const life = tokenLife(token);
      this.#expires(expires ?? (life && this.serverNow + life));
    } catch (error) {
      if (hello !== this.hello || !hello) return;
      // As in `hello`: a token that is not accepted is worth another one. Errors without it are of `token`, and its word is final.
      const doubted = this.#forceToken = error.code === 'invalid_token';
      if (doubted || error.retryable === false) this.#lost(4000, error.message, doubted);
      else this.#timer('refresh', error.retryAfterMs ?? 5_000, () => this.#refresh());
    }
  }
  /** Browsers do not show the server's pings, so a quiet connection is asked. */
  #watchSilence() {
    const beat = this.hello?.heartbeat_ms ?? 25_000;
    this.#timer('silence', beat, () => {
      if (this.#clock.now() - this.#heard >= beat - 1_000) this.#ping(PONG_MAX_MS);
      this.#watchSilence();
    });
  }
  #ping(patience) {
    this.#ask('ping', {}).catch(() => {});
    this.#timer('pong', patience, () => this.#lost(1006, 'the server does not answer', true));
  }

  // ---- asking ----
  /**
   * Asks once and resolves with the reply, or rejects with a {@link LynkError}: `disconnected` when the connection ends first. Questions
   * without a key that are refused for the time being are asked again a few times.
   */
  async request(op, fields = {}, taken = undefined) {
    if (!this.hello) throw new LynkError('disconnected', 'not connected', { retryable: true });
    const body = KEYED.has(op) && !fields.key ? { ...fields, key: uuidv7(this.serverNow) } : fields;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#ask(op, body, (reply) => { this.#own(op, body, reply); taken?.(reply); });
      } catch (error) {
        if (!error.retryable || error.code === 'disconnected' || tries >= QUESTION_TRIES) throw error;
        await new Promise((resolve) => this.#clock.setTimeout(resolve, backoff(tries, this.#clock.random(), error.retryAfterMs)));
      }
    }
  }
  /** Says something that nobody answers: `typing`, `read` and `delivered`. Lost when there is no connection. */
  tell(op, fields) {
    if (this.hello && this.#ws) this.#ws.send(JSON.stringify({ op, ...fields }));
  }
  /** `taken` gets the reply before the next frame is looked at; a promise resolves later than that. */
  #ask(op, fields, taken) {
    return new Promise((resolve, reject) => {
      if (!this.#ws || this.#queue.length >= QUEUE_MAX) {
        reject(new LynkError(this.#ws ? 'limit_reached' : 'disconnected', 'not connected', { retryable: true }));
        return;
      }
      this.#queue.push({ op, fields, taken, resolve, reject });
      this.#dispatch();
    });
  }
  /** Puts on the wire what may go: a bounded number of commands, and of pages. */
  #dispatch() {
    if (this.#queue.length === 0) return;
    const resuming = [...this.#flows.values()].some((flow) => flow.resuming);
    const later = [];
    for (const item of this.#queue) {
      const page = item.op === 'history';
      if (this.#asked.size >= IN_FLIGHT_MAX || (page && this.#histories >= (resuming ? 1 : 2))) { later.push(item); continue; }
      if (page) this.#histories++;
      const id = ++this.#re;
      this.#asked.set(id, item);
      this.#ws.send(JSON.stringify({ id, op: item.op, ...item.fields }));
    }
    this.#queue = later;
  }
  #frame(data) {
    this.#heard = this.#clock.now();
    this.#timer('pong');
    let value; try { value = JSON.parse(data); } catch { return; }
    const asked = value.re ? this.#asked.get(value.re) : undefined;
    // `subscribed` and errors of the rooms of `hello` carry its number too, and come after its `ok`.
    if (asked) { this.#asked.delete(value.re); if (asked.op === 'history') this.#histories--; }
    switch (value.ev) {
      case 'error':
        if (asked) asked.reject(LynkError.of(value));
        else if (value.room && this.#flows.has(value.room)) this.#refusedRoom(value.room, LynkError.of(value));
        break;
      case 'subscribed':
        this.#subscribed(value);
        asked?.resolve(value);
        break;
      case 'ok': case 'history': case 'sync': case 'here': case 'members':
        asked?.taken?.(value);
        asked?.resolve(value);
        break;
      case 'resync': {
        const flow = this.#flows.get(value.room);
        flow?.resync(value);
        if (flow) this.#fill(value.room, flow);
        break;
      }
      case 'draining':
        this.#retryAfter = value.retry_after_ms ?? 0;
        break;
      case 'typing': case 'read': case 'delivered': case 'presence': case 'added': case 'removed': case 'cleared': case 'join_request': case 'report':
      case 'conversation_accepted':
        this.emit(value.ev, value);
        break;
      default:
        // Answers of their own kind: `about`, `bans` …
        if (asked) asked.resolve(value);
        // Kinds of events that this version does not know still have their place in the room.
        else if (value.room && (value.seq || value.ev === 'gap')) this.#live(value.room, value);
    }
    if (this.#ws) this.#dispatch();
  }

  // ---- rooms ----
  /** Follows a room: from `cursor` when one is given, otherwise from now on. Kept over reconnects until {@link unfollow}. */
  follow(room, cursor) {
    if (this.#flows.has(room)) return;
    const flow = new RoomFlow(cursor);
    this.#flows.set(room, flow);
    if (this.hello) this.#subscribe(room, flow);
  }
  unfollow(room) {
    if (!this.#flows.delete(room)) return;
    if (this.hello) this.#ask('unsubscribe', { room }).catch(() => {});
    this.#settle();
  }
  #subscribe(room, flow) {
    this.#ask('subscribe', { room, ...flow.cursor }).catch((error) => {
      if (this.#flows.get(room) === flow && error.code !== 'disconnected') this.#refusedRoom(room, error);
    });
  }
  #refusedRoom(room, error) {
    const flow = this.#flows.get(room);
    if (error.retryable) {
      const again = () => this.hello && this.#flows.get(room) === flow && !flow.subscribed && this.#subscribe(room, flow);
      this.#clock.setTimeout(again, backoff(2, this.#clock.random(), error.retryAfterMs));
      return;
    }
    this.#flows.delete(room);
    this.emit('unfollowed', { room, error });
    this.#settle();
  }
  #subscribed(reply) {
    const flow = this.#flows.get(reply.room);
    if (!flow) return;
    const first = flow.cursor === undefined;
    const { reset, events } = flow.take(reply);
    flow.resuming = false;
    this.emit('subscribed', { room: reply.room, reply, first, reset });
    if (this.#flows.get(reply.room) !== flow) return;
    this.#deliver(reply.room, flow, events);
    this.#fill(reply.room, flow);
    this.#settle();
  }
  #live(room, event) {
    const flow = this.#flows.get(room);
    if (!flow) return;
    this.#deliver(room, flow, flow.event(event));
    this.#fill(room, flow);
  }
  #deliver(room, flow, events) {
    for (const event of events) {
      if (event.ev === 'gap' && event.reason === 'reset') this.emit('reset', { room, event });
      this.emit('event', { room, event, counted: spanOf(event)[1] <= flow.counted });
    }
  }
  #fill(room, flow) {
    if (!flow.lacksPage || flow.filling || !this.hello || !flow.subscribed) return;
    const wait = flow.pageNotBefore - this.#clock.now();
    flow.filling = true;
    const { epoch, seq } = flow.cursor;
    const ask = () => this.request('history', { room, after: seq, epoch, all: true, limit: 500 }, (page) => {
      if (this.#flows.get(room) !== flow) return;
      this.#deliver(room, flow, flow.page(page));
      this.#fill(room, flow);
      this.#settle();
    }).catch((error) => {
      if (this.#flows.get(room) !== flow || error.code === 'disconnected') return;
      flow.filling = false;
      flow.pageNotBefore = this.#clock.now() + (error.retryAfterMs ?? 2_000);
      if (error.retryable) this.#fill(room, flow); else this.#refusedRoom(room, error);
    });
    if (wait > 0) this.#clock.setTimeout(() => flow.filling && this.hello && ask(), wait);
    else ask();
  }
  /** Becomes connected once every room of `hello` is up to date, pages included. */
  #settle() {
    if (!this.hello || this.online) { if (this.online) this.#pump(); return; }
    for (const flow of this.#flows.values()) if (flow.resuming || (flow.subscribed && flow.lacksPage)) return;
    this.#onlineSince = this.#clock.now();
    this.#status({ state: 'connected' });
    this.#pump();
  }
  /** Turns the `ok` of an own command into the event that everyone else is told, and puts it in its place. */
  #own(op, fields, ok, shown) {
    const ev = OWN_EVENTS[op];
    const room = fields.room;
    if (!ev || !ok.seq || !room) return undefined;
    const event = { ev, own: true, room, seq: ok.seq, from: this.hello?.user ?? ok.from, time: ok.time ?? new Date(this.serverNow).toISOString() };
    for (const name of ['n', 'id', 'level']) if (ok[name] !== undefined) event[name] = ok[name];
    for (const name of ['text', 'emoji', 'user', 'role', 'reason', 'reply_to', 'mentions', 'mention_all', 'name', 'visibility', 'slow_mode_seconds', 'kind', 'description',
      'avatar', 'max_members', 'read_only', 'retention_days']) {
      if (fields[name] !== undefined) event[name] = fields[name];
    }
    Object.assign(event, shown);
    if (op === 'leave' || op === 'join') event.user = event.from;
    if (fields.seq !== undefined) event.target = fields.seq;
    if (op === 'react' || op === 'pin') event.on = fields.on ?? true;
    this.#live(room, event);
    return event;
  }

  // ---- outbox ----
  /**
   * Queues a command that carries a key. It is kept (also over a restart, when there is an outbox store), sent in the order of its room, and
   * repeated with the same key until the server answers. `done` resolves with the reply, or rejects when it is refused for good; the entry
   * then stays as failed until {@link retry} or {@link discard}. `shown` are fields of the event that the reply does not tell.
   */
  submit(op, fields, shown = undefined) {
    if (this.outbox.filter((entry) => !entry.failed).length >= OUTBOX_MAX) throw new LynkError('limit_reached', 'too much waits to be sent');
    const key = uuidv7(this.serverNow);
    const entry = { id: key, key, op, fields, shown, created: this.serverNow, sent: false, tried: 0, notBefore: 0 };
    const done = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    done.catch(() => {});
    this.#outbox.set(entry.id, entry);
    this.#keep(entry);
    this.emit('outbox', { entry });
    this.#pump();
    return { id: entry.id, done };
  }
  /** What waits to be acknowledged or has failed, oldest first. */
  get outbox() { return [...this.#outbox.values()]; }
  /** Sends a failed command again. One whose key can no longer be used gets a new one. */
  retry(id) {
    const entry = this.#outbox.get(id);
    if (!entry?.failed) return;
    if (['key_expired', 'idempotency_conflict', 'clock_skew'].includes(entry.failed.code)) entry.key = uuidv7(this.serverNow);
    entry.failed = undefined;
    entry.notBefore = 0;
    this.#keep(entry);
    this.emit('outbox', { entry });
    this.#pump();
  }
  /** Forgets a command. One that is on the wire may still take effect. */
  discard(id) {
    const entry = this.#outbox.get(id);
    if (entry) this.#remove(entry);
  }
  #keep({ id, key, op, fields, shown, created, tried, failed }) {
    Promise.resolve(this.#options.outbox?.put({ id, key, op, fields, ...(shown && { shown }), created, tried, failed })).catch((error) => this.emit('error', error));
  }
  #remove(entry) {
    this.#outbox.delete(entry.id);
    Promise.resolve(this.#options.outbox?.remove(entry.id)).catch((error) => this.emit('error', error));
    this.emit('outbox', { entry, removed: true });
  }
  /** One command of each room is on the wire at a time, so that a refusal for the time being cannot change their order. */
  #pump() {
    if (!this.online) return;
    const busy = new Set();
    const now = this.#clock.now();
    let next = Infinity;
    for (const entry of this.#outbox.values()) {
      if (entry.failed || busy.has(entry.fields.room)) continue;
      busy.add(entry.fields.room);
      if (entry.sent) continue;
      if (entry.notBefore > now) next = Math.min(next, entry.notBefore);
      else this.#send(entry);
    }
    if (next < Infinity) this.#timer('outbox', next - now, () => this.#pump());
  }
  async #send(entry) {
    entry.sent = true;
    entry.tried++;
    if (entry.tried === 1) this.#keep(entry);
    try {
      let event;
      const ok = await this.#ask(entry.op, { ...entry.fields, key: entry.key }, (reply) => {
        // The entry goes before its event comes, so that nobody sees it twice.
        this.#remove(entry);
        event = this.#own(entry.op, entry.fields, reply, entry.shown);
      });
      entry.resolve?.({ ...ok, event });
    } catch (error) {
      entry.sent = false;
      if (error.code === 'disconnected') return;
      if (error.retryable) entry.notBefore = this.#clock.now() + backoff(entry.tried, this.#clock.random(), error.retryAfterMs);
      else if (error.code === 'clock_skew' && !entry.rekeyed) {
        // Made before the server's clock was known. A refused key is not remembered, so another one is safe.
        entry.rekeyed = true;
        entry.key = uuidv7(this.serverNow);
        this.#keep(entry);
      } else {
        entry.failed = { code: error.code, message: error.message };
        this.#keep(entry);
        this.emit('outbox', { entry, failed: error });
        entry.reject?.(error);
      }
    }
    this.#pump();
  }

  // ---- words for the common commands ----
  /** `attachments`: uploads that are ready, as `Upload` resolves with them, or as a message tells them. */
  send(room, text, { replyTo, attachments, ...whom } = {}) {
    const files = attachments?.map(({ id, media, name, type, bytes, width, height }) => ({ id: id ?? media, name, type, bytes, ...(width && { width, height }) }));
    const fields = { room, text, ...(replyTo && { reply_to: replyTo }), ...mentioned(whom), ...(files?.length && { attachments: files.map(({ id }) => id) }) };
    return this.submit('send', fields, files?.length ? { attachments: files } : undefined);
  }
  edit(room, seq, text, whom = {}) { return this.submit('edit', { room, seq, text, ...mentioned(whom) }); }
  delete(room, seq) { return this.submit('delete', { room, seq }); }
  react(room, seq, emoji, on = true) { return this.submit('react', { room, seq, emoji, on }); }
  read(room, seq) { this.tell('read', { room, seq }); }
  delivered(room, seq) { this.tell('delivered', { room, seq }); }
  typing(room, on = true) { this.tell('typing', { room, on }); }
  create(name, options = {}) { return this.request('create', { name, ...options }); }
  /** A page of public rooms by the beginning of their names. */
  discover(name = '', { cursor, limit } = {}) { return this.request('discover', { ...(name && { name }), ...(cursor && { cursor }), ...(limit && { limit }) }); }
  requestJoin(room, text = '') { return this.request('request_join', { room, ...(text && { text }) }); }
  withdrawRequest(room) { return this.request('withdraw_request', { room }); }
  myRequests(page = {}) { return this.request('my_requests', page); }
  requests(room, page = {}) { return this.request('requests', { room, ...page }); }
  acceptRequest(room, user) { return this.request('accept_request', { room, user }); }
  declineRequest(room, user) { return this.request('decline_request', { room, user }); }
  /** Makes a link that lets people in: for `seconds`, for `uses` people. Only this answer has its `code`. */
  link(room, { seconds, uses } = {}) { return this.request('link', { room, ...(seconds && { seconds }), ...(uses && { uses }) }); }
  links(room) { return this.request('links', { room }); }
  unlink(room, link) { return this.request('unlink', { room, link }); }
  look(code) { return this.request('look', { code }); }
  /** `about`: `{seq}` for a message, `{user}` for a member, nothing for the room. */
  report(room, reason, { seq, user, comment } = {}) { return this.request('report', { room, reason, ...(seq && { seq }), ...(user && { user }), ...(comment && { comment }) }); }
  reports(room, page = {}) { return this.request('reports', { room, ...page }); }
  resolveReport(room, number, outcome, note = '') { return this.request('resolve_report', { room, number, outcome, ...(note && { note }) }); }
  moderationLog(room, page = {}) { return this.request('moderation_log', { room, ...page }); }
  /** `request` in the reply is `sent` while the other has to accept. */
  direct(user) { return this.request('direct', { user }); }
  /** Takes a conversation that a stranger began. */
  acceptConversation(room) { return this.request('accept_conversation', { room }); }
  /** Refuses one; who began it is told nothing. */
  declineConversation(room) { return this.request('decline_conversation', { room }); }
  find(name) { return this.request('find', { name }); }
  /** Of a room that one may not join by oneself, with the code of a link into it. */
  join(room, code = undefined) { return this.request('join', { room, ...(code && { code }) }); }
  leave(room) { return this.request('leave', { room }); }
  history(room, options = {}) { return this.request('history', { room, ...options }); }
  members(room, options = {}) { return this.request('members', { room, ...options }); }
  here(room) { return this.request('presence', { room }); }
  watch(users) { return this.request('presence', { watch: users }); }
  unwatch(users) { return this.request('presence', { unwatch: users }); }
  /** Every room of this user. */
  async sync() {
    const rooms = [];
    for (let after; ;) {
      const page = await this.request('sync', { limit: 100, ...(after && { after }) });
      rooms.push(...page.rooms);
      if (!page.next || page.next === after) return rooms;
      after = page.next;
    }
  }
}
