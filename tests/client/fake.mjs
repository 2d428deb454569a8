/** A socket and a clock that a test holds in its hands. */

import assert from 'node:assert/strict';
import { Lynk } from '../../core/server/web/lynk.js';

/** Time that passes when the test says so. */
export class FakeClock {
  #now = 1_800_000_000_000;
  #timers = new Map();
  #next = 1;
  randomness = 0.5;

  options() {
    return {
      now: () => this.#now, random: () => this.randomness,
      setTimeout: (action, ms) => { this.#timers.set(this.#next, { at: this.#now + ms, action }); return this.#next++; },
      clearTimeout: (id) => this.#timers.delete(id),
    };
  }

  get now() { return this.#now; }

  /** Lets `ms` pass, timers in their order, promises settled in between. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].action();
    }
    this.#now = end;
    await settle();
  }
}

export const settle = async () => { for (let i = 0; i < 20; i++) await Promise.resolve(); };

/** A client with the scripted server at the other end. */
export class Rig {
  sockets = [];
  states = [];
  events = [];
  tokens = [];

  constructor(options = {}) {
    this.clock = new FakeClock();
    const rig = this;
    class Socket {
      constructor(url, protocol) {
        Object.assign(this, { url, protocol, sent: [], closed: undefined });
        rig.sockets.push(this);
      }
      send(text) { this.sent.push(JSON.parse(text)); }
      close(code) { this.closed = code ?? 1005; }
    }
    this.lynk = new Lynk({
      url: 'ws://test/ws', WebSocket: Socket, clock: this.clock.options(),
      token: async ({ force }) => { this.tokens.push(force); return `token-${this.tokens.length}`; }, ...options,
    });
    this.lynk.on('state', (status) => this.states.push(status));
    this.lynk.on('event', ({ event }) => this.events.push(event));
  }

  get socket() { return this.sockets.at(-1); }
  get state() { return this.states.at(-1)?.state; }
  get seqs() { return this.events.map((event) => (event.ev === 'gap' ? [event.from, event.to] : event.seq)); }

  /** Takes the commands that arrived since the last call. */
  async taken() {
    await settle();
    return this.socket.sent.splice(0);
  }

  /** Takes exactly one command, and checks its kind. */
  async take(op) {
    const commands = await this.taken();
    assert.deepEqual(commands.map((command) => command.op), [op]);
    return commands[0];
  }

  async say(value) {
    this.socket.onmessage({ data: JSON.stringify(value) });
    await settle();
  }

  ok(command, fields = {}) { return this.say({ ev: 'ok', re: command.id, ...fields }); }
  error(command, code, fields = {}) { return this.say({ ev: 'error', re: command.id, code, message: code, ...fields }); }

  /** Opens the connection and answers `hello`; returns it. */
  async hello(fields = {}) {
    await settle();
    this.socket.onopen();
    const hello = await this.take('hello');
    await this.ok(hello, { session: 's', user: ME, time: new Date(this.clock.now).toISOString(), expires: new Date(this.clock.now + 900_000).toISOString(), heartbeat_ms: 25_000, limits: {}, ...fields });
    return hello;
  }

  async online() {
    this.lynk.connect();
    return this.hello();
  }

  async lose(code = 1006, reason = '') {
    this.socket.onclose({ code, reason });
    await settle();
  }
}

export const ME = '00000000-0000-7000-8000-00000000000a';
export const YOU = '00000000-0000-7000-8000-00000000000b';
export const ROOM = '00000000-0000-7000-8000-0000000000aa';
export const OTHER = '00000000-0000-7000-8000-0000000000bb';

export const message = (seq, fields = {}) => ({ ev: 'message', room: ROOM, seq, n: seq, from: YOU, time: '2027-01-01T00:00:00.000Z', text: `m${seq}`, ...fields });
export const subscribed = (top, seqs = [], fields = {}) => ({ ev: 'subscribed', room: ROOM, epoch: 1, top, unread: 0, role: 'member', members: 2, events: seqs.map((seq) => message(seq)), covers: seqs.length ? { from: seqs[0], to: top } : { from: top + 1, to: top }, more: false, ...fields });
export const page = (from, to, seqs, fields = {}) => ({ ev: 'history', room: ROOM, epoch: 1, events: seqs.map((seq) => message(seq)), covers: { from, to }, more: false, ...fields });
