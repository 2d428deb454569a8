import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LynkAccount } from '../../core/server/web/lynk.js';
import { ME, message, OTHER, Rig, ROOM, settle, subscribed } from './fake.mjs';

async function inRoom(options) {
  const rig = new Rig(options);
  rig.lynk.follow(ROOM, { epoch: 1, seq: 5 });
  rig.lynk.connect();
  const hello = await rig.hello();
  await rig.say({ ...subscribed(5), re: hello.id });
  return rig;
}

async function back(rig, reply) {
  await rig.clock.pass(21_000);
  const hello = await rig.hello();
  await rig.say({ ...reply, re: hello.id });
}

test('what is written offline is sent after the resume, in order, each with its own key', async () => {
  const rig = new Rig();
  rig.lynk.send(ROOM, 'one');
  rig.lynk.send(ROOM, 'two');
  rig.lynk.send(OTHER, 'three');
  await rig.online();
  const first = await rig.taken();
  assert.deepEqual(first.map(({ text }) => text), ['one', 'three'], 'one of each room at a time');
  await rig.ok(first[0], { room: ROOM, seq: 6, n: 1 });
  const second = await rig.take('send');
  assert.equal(second.text, 'two');
  assert.equal(new Set([first[0].key, first[1].key, second.key]).size, 3);
});

test('an unacknowledged command is repeated with its key, and its event comes once', async () => {
  const rig = await inRoom();
  const { done } = rig.lynk.send(ROOM, 'hello');
  const sent = await rig.take('send');
  await rig.lose();
  // It had arrived: the resume brings it as an event.
  await back(rig, subscribed(6, [], { events: [message(6, { from: ME, text: 'hello' })], covers: { from: 6, to: 6 } }));
  const again = await rig.take('send');
  assert.equal(again.key, sent.key);
  await rig.ok(again, { room: ROOM, seq: 6, n: 1, id: 'x', time: '2027-01-01T00:00:00.000Z' });
  assert.equal((await done).seq, 6);
  assert.deepEqual(rig.seqs, [6]);
  assert.deepEqual(rig.lynk.outbox, []);
});

test('the ok of an own command becomes the event that others are told', async () => {
  const rig = await inRoom();
  rig.lynk.send(ROOM, 'hi', { replyTo: 3 });
  await rig.ok(await rig.take('send'), { room: ROOM, seq: 6, n: 2, id: 'x', time: '2027-01-01T00:00:00.000Z', level: 'local' });
  rig.lynk.react(ROOM, 6, '👍');
  await rig.ok(await rig.take('react'), { room: ROOM, seq: 7 });
  rig.lynk.edit(ROOM, 6, 'hi!');
  await rig.ok(await rig.take('edit'), { room: ROOM, seq: 8 });
  rig.lynk.delete(ROOM, 6);
  await rig.ok(await rig.take('delete'), { room: ROOM, seq: 9 });
  const shown = rig.events.map(({ ev, seq, from, text, reply_to, emoji, on, target, own }) => ({ ev, seq, from, text, reply_to, emoji, on, target, own }));
  const base = { from: ME, text: undefined, reply_to: undefined, emoji: undefined, on: undefined, target: 6, own: true };
  assert.deepEqual(shown, [
    { ...base, ev: 'message', seq: 6, text: 'hi', reply_to: 3, target: undefined }, { ...base, ev: 'reaction', seq: 7, emoji: '👍', on: true },
    { ...base, ev: 'edit', seq: 8, text: 'hi!' }, { ...base, ev: 'delete', seq: 9 },
  ]);
});

test('a refusal for the time being keeps its place and obeys retry_after_ms', async () => {
  const rig = await inRoom();
  rig.lynk.send(ROOM, 'one');
  rig.lynk.send(ROOM, 'two');
  const first = await rig.take('send');
  await rig.error(first, 'slow_mode', { retryable: true, retry_after_ms: 5_000 });
  await rig.clock.pass(4_999);
  assert.deepEqual((await rig.taken()).filter(({ op }) => op === 'send'), [], 'the second does not overtake');
  await rig.clock.pass(1_000);
  const again = (await rig.taken()).find(({ op }) => op === 'send');
  assert.deepEqual([again.text, again.key], ['one', first.key]);
});

test('a refusal for good stays as failed, lets the next one pass, and can be retried or discarded', async () => {
  const rig = await inRoom();
  const { id, done } = rig.lynk.send(ROOM, 'one');
  rig.lynk.send(ROOM, 'two');
  const first = await rig.take('send');
  await rig.error(first, 'muted');
  await assert.rejects(done, { code: 'muted' });
  await rig.ok(await rig.take('send'), { room: ROOM, seq: 6 });
  assert.deepEqual(rig.lynk.outbox.map(({ failed }) => failed.code), ['muted']);
  rig.lynk.retry(id);
  const again = await rig.take('send');
  assert.equal(again.key, first.key, 'a refused key may be used again');
  await rig.error(again, 'key_expired');
  rig.lynk.retry(id);
  assert.notEqual((await rig.take('send')).key, first.key, 'an old one may not');
  rig.lynk.discard(id);
  assert.deepEqual(rig.lynk.outbox, []);
});

test('a key from a wrong clock is replaced by one of the server’s time', async () => {
  const rig = await inRoom();
  rig.lynk.send(ROOM, 'one');
  const first = await rig.take('send');
  await rig.error(first, 'clock_skew');
  const again = await rig.take('send');
  assert.notEqual(again.key, first.key);
  await rig.error(again, 'clock_skew');
  assert.deepEqual(await rig.taken(), [], 'once');
});

test('the outbox survives a restart', async () => {
  const kept = new Map();
  const store = { load: async () => structuredClone([...kept.values()]), put: async (entry) => { kept.set(entry.id, structuredClone(entry)); }, remove: async (id) => { kept.delete(id); } };
  const before = new Rig({ outbox: store });
  await before.lynk.ready;
  before.lynk.send(ROOM, 'written before');
  await settle();
  const [entry] = kept.values();
  const after = new Rig({ outbox: store });
  await after.lynk.ready;
  await after.online();
  const sent = await after.take('send');
  assert.deepEqual([sent.text, sent.key], ['written before', entry.key]);
  await after.ok(sent, { room: ROOM, seq: 1 });
  assert.equal(kept.size, 0);
});

test('the outbox is bounded', async () => {
  const rig = new Rig();
  for (let i = 0; i < 1_000; i++) rig.lynk.send(ROOM, `${i}`);
  assert.throws(() => rig.lynk.send(ROOM, 'too much'), { code: 'limit_reached' });
});

// ---- tokens ----

const jwt = (life) => `h.${Buffer.from(JSON.stringify({ iat: 1_000, exp: 1_000 + life })).toString('base64url')}.s`;
const answer = (status, body, headers = {}) => ({ ok: status < 400, status, json: async () => body, headers: { get: (name) => headers[name] } });

/** A token server that rotates, and tabs that share a store. */
function tabs(number, { lock } = {}) {
  let kept = { access_token: jwt(900), access_until: 0, refresh_token: 'lr1_0', session: 's', user: { user: ME } };
  const server = { current: 0, calls: 0, revoked: false };
  const fetch = async (url, { body }) => {
    server.calls++;
    const used = Number(JSON.parse(body).refresh_token.slice(4));
    await settle();
    // The one before is answered with the same successor, as within the server's grace.
    if (used === server.current) server.current++;
    else if (used !== server.current - 1) { server.revoked = true; return answer(401, { code: 'invalid_token', message: 'no', retryable: false }); }
    return answer(200, { access_token: jwt(900 + server.calls), access_expires_at: 0, refresh_token: `lr1_${server.current}`, session: 's' });
  };
  const store = { get: () => kept, set: (value) => { kept = value; } };
  return { server, store, tabs: Array.from({ length: number }, () => new LynkAccount({ fetch, store, now: () => 5_000, ...(lock && { lock }) })) };
}

test('two tabs that refresh at once take turns, and the second uses what the first got', async () => {
  let turn = Promise.resolve();
  const { server, tabs: [a, b] } = tabs(2, { lock: (_, action) => (turn = turn.then(action)) });
  const [first, second] = await Promise.all([a.token({ force: true }), b.token({ force: true })]);
  assert.deepEqual([first === second, server.calls, server.revoked], [true, 1, false]);
});

test('without a lock both are answered, and neither is signed out', async () => {
  const { server, store, tabs: many } = tabs(5);
  await Promise.all(many.map((tab) => tab.token({ force: true })));
  assert.deepEqual([server.revoked, store.get().refresh_token], [false, 'lr1_1']);
});

test('a refused refresh ends the session; a lost one does not', async () => {
  const { store, tabs: [tab] } = tabs(1);
  const over = [];
  tab.on('signedout', ({ reason }) => over.push(reason));
  const lost = new LynkAccount({ store, fetch: async () => { throw new TypeError('network'); }, now: () => 5_000 });
  await assert.rejects(lost.token({ force: true }), { code: 'network', retryable: true });
  assert.ok(store.get());
  store.set({ ...store.get(), refresh_token: 'lr1_77' });
  await assert.rejects(tab.token({ force: true }), { code: 'signed_out', retryable: false });
  assert.deepEqual([store.get(), over], [undefined, ['expired']]);
});

test('what a proxy answers to a refresh is not the end of the session, and is tried again', async () => {
  const kept = { access_token: jwt(900), access_until: 0, refresh_token: 'r', session: 's', user: { user: ME } };
  for (const odd of [answer(400, { code: 'bad_request', retryable: false }), answer(403, { code: 'forbidden', retryable: false }), answer(404), answer(407), answer(429, { code: 'rate_limited', retryable: true }),
    answer(200), answer(200, { welcome: 'to our hotel' })]) {
    let store = kept;
    const answers = [odd, odd, answer(200, { access_token: jwt(901), refresh_token: 'r2', session: 's' })];
    const account = new LynkAccount({ store: { get: () => store, set: (value) => { store = value; } }, fetch: async () => answers.shift(), now: () => 5_000 });
    const rig = new Rig({ token: ({ force }) => account.token({ force }) });
    rig.clock.randomness = 1;
    rig.lynk.connect();
    await settle();
    for (const wait of [200, 400]) {
      assert.deepEqual([odd.status, rig.states.at(-1).state, rig.states.at(-1).code, rig.states.at(-1).willRetry], [odd.status, 'disconnected', 1006, true]);
      assert.deepEqual([store, rig.sockets.length], [kept, 0]);
      await rig.clock.pass(wait);
    }
    assert.deepEqual([store.refresh_token, rig.sockets.length, rig.state], ['r2', 1, 'connecting']);
    rig.lynk.close();
  }
});

test('a proof is asked for where it is needed, kept while it is good, and not a moment longer', async () => {
  let now = 5_000;
  let store = { access_token: 'own', access_until: 9e15, refresh_token: 'r', session: 's', user: { user: ME } };
  let proofs = 0;
  let refused = 0;
  const fetch = async (url, { headers }) => {
    const token = headers.authorization.slice(7);
    if (token === 'own' || now >= Number(token.split('.')[3])) { refused++; return answer(403, { code: 'step_up_required', message: 'prove it', retryable: false }); }
    return answer(200, { revoked: 1 });
  };
  const account = new LynkAccount({ store: { get: () => store, set: (value) => { store = value; } }, fetch, now: () => now });
  const prove = async () => { proofs++; return `${jwt(300)}.${now + 300_000}`; };
  await account.revoke('one', prove);
  await account.revokeOthers(prove);
  assert.deepEqual([proofs, refused], [1, 2]);
  now += 295_000;
  await account.revokeOthers(prove);
  assert.equal(proofs, 2, 'it is over soon');
  store = { ...store, session: 'another' };
  await account.revokeOthers(prove);
  assert.equal(proofs, 3, 'it was of another session');
  account.signedOut('signed out');
  store = { access_token: 'own', access_until: 9e15, refresh_token: 'r', session: 'another', user: { user: ME } };
  const no = Object.assign(new Error('called off'), { quiet: true });
  await assert.rejects(account.revokeOthers(() => Promise.reject(no)), no, 'it went with the session');
});

test('a server that demands a second factor is told of, until the first code was shown', async () => {
  let store = { access_token: 'old', access_until: 0, refresh_token: 'r1', refresh_expires_at: 7, session: 's', user: { user: ME } };
  const told = [];
  const answers = {
    '/v1/auth/refresh': { access_token: jwt(900), refresh_token: 'r2', refresh_expires_at: 8, session: 's', second_factor_required: true },
    '/v1/me/totp/confirm': { recovery_codes: ['a'], other_sessions: 0, access_token: jwt(901), access_expires_at: 1 },
  };
  const account = new LynkAccount({ store: { get: () => store, set: (value) => { store = value; } }, fetch: async (url) => answer(200, answers[url]), now: () => 5_000 });
  account.on('secondfactor', () => told.push(account.session.second_factor_required));
  await account.token();
  assert.deepEqual([told, store.refresh_token], [[true], 'r2']);
  assert.deepEqual((await account.confirmTotp('123456')).recovery_codes, ['a']);
  const { second_factor_required: held, ...open } = account.session;
  assert.deepEqual([held, open], [undefined, { access_token: jwt(901), access_until: 906_000, refresh_token: 'r2', refresh_expires_at: 8, session: 's', user: { user: ME } }]);
  assert.equal(told.length, 1);
});

/** A fetch that never answers, but obeys its signal. */
const hang = (url, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

test('every call has 15 s, its body included, and then gives way to the other tabs', async (t) => {
  const times = [];
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  t.mock.method(AbortSignal, 'timeout', (ms) => { times.push(ms); return timeout(10); });
  const alive = setTimeout(() => {}, 5_000);
  const { store } = tabs(1);
  let turn = Promise.resolve();
  const lock = (_, action) => { const mine = turn.then(action); turn = mine.catch(() => {}); return mine; };
  const stuck = new LynkAccount({ store, lock, now: () => 5_000, fetch: hang });
  const waiting = new LynkAccount({ store, lock, now: () => 5_000, fetch: async () => answer(200, { access_token: jwt(901), refresh_token: 'lr1_1', session: 's' }) });
  const first = stuck.token({ force: true });
  const second = waiting.token({ force: true });
  await assert.rejects(first, { code: 'network', retryable: true });
  assert.equal(await second, jwt(901));
  await assert.rejects(stuck.requestCode('+491'), { code: 'network' });
  const half = new LynkAccount({ fetch: async (url, { signal }) => ({ ...answer(200), json: () => hang(url, { signal }) }) });
  await assert.rejects(half.requestCode('+491'), { code: 'network', retryable: true });
  assert.deepEqual(times, [15_000, 15_000, 15_000, 15_000]);
  clearTimeout(alive);
});

test('a token that is no longer waited for gives way at once', async () => {
  const { store } = tabs(1);
  const account = new LynkAccount({ store, fetch: hang, now: () => 5_000 });
  const call = new AbortController();
  const token = account.token({ signal: call.signal });
  await settle();
  call.abort();
  await assert.rejects(token, { code: 'network', retryable: true });
  assert.equal(store.get().refresh_token, 'lr1_0');
});

test('an answer that comes after the sign-out does not sign in again', async () => {
  let store = { access_token: jwt(900), access_until: 0, refresh_token: 'r', session: 's' };
  let reply;
  const account = new LynkAccount({ store: { get: () => store, set: (value) => { store = value; } }, fetch: () => new Promise((resolve) => { reply = resolve; }), now: () => 5_000 });
  const token = account.token();
  await settle();
  account.signedOut('signed out');
  reply(answer(200, { access_token: jwt(901), refresh_token: 'r2', session: 's' }));
  await assert.rejects(token, { retryable: true });
  assert.equal(store, undefined);
});

test('who signs out is told so, whatever the server says of the session meanwhile', async () => {
  const { store, tabs: [tab] } = tabs(1);
  const over = [];
  tab.on('signedout', ({ reason }) => over.push(reason));
  store.set({ ...store.get(), refresh_token: 'lr1_77' });
  await tab.signOut();
  assert.deepEqual([store.get(), over], [undefined, ['signed out']]);
});

test('a refused call is repeated once with a new token', async () => {
  let kept = { access_token: jwt(900), access_until: 1e15, refresh_token: 'r', session: 's' };
  const seen = [];
  const account = new LynkAccount({
    store: { get: () => kept, set: (value) => { kept = value; } },
    fetch: async (url, { headers }) => {
      seen.push(url);
      if (url.endsWith('/refresh')) return answer(200, { access_token: jwt(901), refresh_token: 'r2', session: 's' });
      return headers.authorization === `Bearer ${jwt(901)}` ? answer(200, { user: ME }) : answer(401, { code: 'token_expired', message: 'old', retryable: true });
    },
  });
  assert.deepEqual(await account.me(), { user: ME });
  assert.deepEqual(seen, ['/v1/me', '/v1/auth/refresh', '/v1/me']);
});

test('errors of HTTP carry code and patience', async () => {
  const account = new LynkAccount({ fetch: async () => answer(429, { code: 'rate_limited', message: 'slow', retryable: true }, { 'retry-after': '7' }) });
  await assert.rejects(account.requestCode('+491'), { code: 'rate_limited', retryAfterMs: 7_000, status: 429 });
  const broken = new LynkAccount({ fetch: async () => ({ ok: false, status: 502, json: async () => { throw new Error('html'); }, headers: { get: () => null } }) });
  await assert.rejects(broken.requestCode('+491'), { code: 'unavailable', retryable: true });
});
