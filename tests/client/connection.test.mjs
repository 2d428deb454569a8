import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ME, message, OTHER, page, Rig, ROOM, settle, subscribed, YOU } from './fake.mjs';

test('what is about one’s own account is told as it comes', async () => {
  const rig = new Rig();
  await rig.online();
  const told = [];
  for (const ev of ['added', 'removed', 'read']) rig.lynk.on(ev, (value) => told.push(value));
  const frames = [{ ev: 'added', room: 'r', version: 2, kind: 'direct', name: '', role: 'member', peer: 'p' }, { ev: 'removed', room: 'r', version: 3 },
    { ev: 'read', room: 'r', user: ME, seq: 4, unread: 2, marked: true }];
  for (const frame of frames) await rig.say(frame);
  assert.deepEqual(told, frames);
  assert.deepEqual(rig.events, [], 'no events of the room');
});

test('it is connected only when every room of hello is up to date, pages included', async () => {
  const rig = new Rig();
  rig.lynk.follow(ROOM, { epoch: 1, seq: 5 });
  rig.lynk.follow(OTHER, { epoch: 3, seq: 9 });
  rig.lynk.connect();
  const hello = await rig.hello();
  assert.equal(rig.socket.protocol, 'lynk.v1');
  assert.equal(hello.token, 'token-1');
  assert.deepEqual(hello.resume, [{ room: ROOM, epoch: 1, seq: 5 }, { room: OTHER, epoch: 3, seq: 9 }]);
  assert.equal(rig.state, 'connecting');
  await rig.say({ ...subscribed(300, [6, 7], { covers: { from: 6, to: 7 }, more: true }), re: hello.id });
  assert.equal(rig.state, 'connecting');
  const fill = await rig.take('history');
  assert.deepEqual([fill.after, fill.all, fill.epoch], [7, true, 1]);
  await rig.say({ ...subscribed(9, [], { room: OTHER, epoch: 3 }), re: hello.id });
  assert.equal(rig.state, 'connecting', 'a page is missing');
  await rig.say({ ...page(8, 300, [8, 299]), re: fill.id });
  assert.equal(rig.state, 'connected');
  assert.deepEqual(rig.seqs, [6, 7, 8, 299]);
});

test('a room that is refused for good does not keep it from being connected', async () => {
  const rig = new Rig();
  const gone = [];
  rig.lynk.on('unfollowed', ({ room, error }) => gone.push([room, error.code]));
  rig.lynk.follow(ROOM, { epoch: 1, seq: 5 });
  rig.lynk.connect();
  const hello = await rig.hello();
  await rig.error(hello, 'not_a_member', { room: ROOM });
  assert.deepEqual([rig.state, gone], ['connected', [[ROOM, 'not_a_member']]]);
});

test('a lost connection comes back with full jitter, and resumes from the last event', async () => {
  const rig = new Rig();
  rig.clock.randomness = 1;
  rig.lynk.follow(ROOM, { epoch: 1, seq: 5 });
  rig.lynk.connect();
  let hello = await rig.hello();
  await rig.say({ ...subscribed(5), re: hello.id });
  await rig.say(message(6));
  await rig.lose(1006);
  const { state, code, willRetry, retryAt } = rig.states.at(-1);
  assert.deepEqual([state, code, willRetry, retryAt], ['disconnected', 1006, true, rig.clock.now + 200]);
  await rig.clock.pass(199);
  assert.equal(rig.sockets.length, 1);
  await rig.clock.pass(1);
  assert.equal(rig.sockets.length, 2);
  await rig.lose(1006);
  assert.equal(rig.states.at(-1).retryAt - rig.clock.now, 400, 'the bound doubles');
  await rig.clock.pass(400);
  hello = await rig.hello();
  assert.deepEqual(hello.resume, [{ room: ROOM, epoch: 1, seq: 6 }]);
  await rig.say({ ...subscribed(8, [7, 8]), re: hello.id });
  await rig.say(message(8));
  assert.deepEqual(rig.seqs, [6, 7, 8], 'nothing missing, nothing twice');
});

test('it waits as long as a draining server asks', async () => {
  const rig = new Rig();
  await rig.online();
  await rig.say({ ev: 'draining', retry_after_ms: 3_000 });
  await rig.lose(4102, 'shutting down');
  assert.ok(rig.states.at(-1).retryAt - rig.clock.now >= 3_000);
});

test('close codes decide whether it comes back', async () => {
  for (const [code, back] of [[1000, true], [1001, true], [1006, true], [1011, true], [1013, true], [4100, true], [4101, true], [4102, true], [4103, true], [4104, true],
    [1002, false], [1003, false], [1007, false], [1008, false], [1009, false], [4000, false], [4001, false], [4002, false], [4003, false]]) {
    const rig = new Rig();
    await rig.online();
    await rig.lose(code, 'why');
    assert.deepEqual([code, rig.states.at(-1).willRetry, rig.states.at(-1).reason], [code, back, 'why']);
  }
});

test('an expired token is replaced before the next attempt', async () => {
  const rig = new Rig();
  await rig.online();
  await rig.lose(4100);
  await rig.clock.pass(1_000);
  assert.deepEqual(rig.tokens, [false, true]);
  // The server may also refuse it in hello.
  rig.socket.onopen();
  await rig.error(await rig.take('hello'), 'token_expired', { retryable: true });
  await rig.lose(4000);
  assert.equal(rig.states.at(-1).willRetry, true);
});

test('a token that is not accepted in hello is replaced once, and only then it is the end', async () => {
  for (const refuse of [
    async (rig, hello) => { await rig.error(hello, 'invalid_token'); await rig.lose(4000); },
    async (rig, hello) => { await rig.error(hello, 'invalid_token'); await rig.clock.pass(500); },
    (rig) => rig.lose(4000),
  ]) {
    const rig = new Rig();
    rig.lynk.connect();
    await settle();
    for (const back of [true, false]) {
      rig.socket.onopen();
      await refuse(rig, await rig.take('hello'));
      const lost = rig.states.findLast(({ state }) => state === 'disconnected');
      assert.deepEqual([lost.code, lost.willRetry], [4000, back]);
      await rig.clock.pass(1_000);
    }
    await rig.clock.pass(60_000);
    assert.deepEqual([rig.tokens, rig.sockets.length], [[false, true], 2]);
    // Whoever connects again has another try, and is as well off as before once it is accepted.
    rig.lynk.connect();
    await rig.hello();
    assert.equal(rig.state, 'connected');
    await rig.lose(1006);
    await rig.clock.pass(1_000);
    rig.socket.onopen();
    await rig.error(await rig.take('hello'), 'invalid_token');
    await rig.lose(4000);
    assert.equal(rig.states.at(-1).willRetry, true);
  }
});

test('what else is refused in hello is not helped by another token', async () => {
  const rig = new Rig();
  rig.lynk.connect();
  await settle();
  rig.socket.onopen();
  await rig.error(await rig.take('hello'), 'invalid_field');
  await rig.lose(4000);
  assert.equal(rig.states.at(-1).willRetry, false);
});

test('a token that is not accepted on the open socket leads to another one in hello', async () => {
  const rig = new Rig();
  rig.lynk.connect();
  await rig.hello({ expires: new Date(rig.clock.now + 10_000).toISOString() });
  await rig.clock.pass(5_000);
  await rig.error(await rig.take('refresh'), 'invalid_token');
  assert.deepEqual([rig.states.at(-1).state, rig.states.at(-1).willRetry], ['disconnected', true]);
  await rig.clock.pass(1_000);
  assert.equal((await rig.hello()).token, 'token-3');
  assert.deepEqual([rig.tokens, rig.state], [[false, true, true], 'connected']);
});

test('a session that is over ends it for good', async () => {
  const rig = new Rig({ token: async () => { throw Object.assign(new Error('signed out'), { retryable: false }); } });
  rig.lynk.connect();
  await settle();
  assert.deepEqual([rig.states.at(-1).code, rig.states.at(-1).willRetry], [4000, false]);
});

test('the token is replaced on the open socket before it ends', async () => {
  const rig = new Rig();
  await rig.online();
  let commands = [];
  for (let minute = 0; minute < 15 && commands.length === 0; minute++) {
    for (let beat = 0; beat < 12; beat++) {
      await rig.clock.pass(5_000);
      const taken = await rig.taken();
      for (const ping of taken.filter(({ op }) => op === 'ping')) await rig.ok(ping);
      commands = commands.concat(taken.filter(({ op }) => op !== 'ping'));
    }
    if (minute < 13) assert.deepEqual(commands, [], 'not before its last minute');
  }
  const [refresh] = commands;
  assert.deepEqual([commands.length, refresh.op], [1, 'refresh']);
  assert.equal(refresh.token, 'token-2');
  await rig.ok(refresh, { time: new Date(rig.clock.now).toISOString() });
  assert.equal(rig.sockets.length, 1);
  assert.equal(rig.state, 'connected');
});

test('a ticket is handed on as it is', async () => {
  const rig = new Rig({ token: async () => ({ ticket: 'lt1_x' }) });
  rig.lynk.connect();
  await settle();
  rig.socket.onopen();
  const hello = await rig.take('hello');
  assert.deepEqual([hello.ticket, hello.token], ['lt1_x', undefined]);
});

test('what fails without a close is dropped all the same', async () => {
  const rig = new Rig();
  rig.lynk.connect();
  await settle();
  rig.socket.onerror();
  await rig.clock.pass(500);
  assert.deepEqual([rig.states.at(-1).code, rig.states.at(-1).willRetry], [1006, true]);
  await rig.clock.pass(1_000);
  rig.socket.onopen();
  await rig.error(await rig.take('hello'), 'unavailable', { retryable: true, retry_after_ms: 3_000 });
  await rig.clock.pass(500);
  assert.deepEqual([rig.states.at(-1).code, rig.states.at(-1).willRetry], [1013, true]);
  assert.ok(rig.states.at(-1).retryAt - rig.clock.now >= 3_000);
});

test('a silent connection is asked, and dropped when it does not answer', async () => {
  const rig = new Rig();
  await rig.online();
  await rig.clock.pass(25_000);
  await rig.ok(await rig.take('ping'));
  await rig.clock.pass(25_000);
  await rig.take('ping');
  await rig.clock.pass(9_999);
  assert.equal(rig.state, 'connected');
  await rig.clock.pass(2);
  assert.notEqual(rig.state, 'connected');
});

test('wake connects at once', async () => {
  const rig = new Rig();
  await rig.online();
  await rig.lose(1013);
  rig.lynk.wake();
  await settle();
  assert.equal(rig.sockets.length, 2);
});

test('wake does not wait for a token that hangs', async () => {
  const calls = [];
  const rig = new Rig({ token: ({ force, signal }) => new Promise((resolve) => { calls.push({ force, signal, resolve }); }) });
  rig.lynk.connect();
  await settle();
  await rig.clock.pass(5_000);
  rig.lynk.wake();
  await settle();
  assert.deepEqual([calls.length, calls[0].signal.aborted], [1, false], 'it may still come');
  await rig.clock.pass(1);
  rig.lynk.wake();
  await settle();
  assert.deepEqual(calls.map(({ signal }) => signal.aborted), [true, false]);
  calls[0].resolve('late');
  await settle();
  assert.equal(rig.sockets.length, 0, 'what comes late is not used');
  calls[1].resolve('in time');
  await settle();
  assert.equal((await rig.hello()).token, 'in time');
  assert.deepEqual([rig.sockets.length, rig.state], [1, 'connected']);
});

test('wake calls off a replacement that hangs on the open socket, and it is asked for again', async () => {
  const calls = [];
  const rig = new Rig({ token: ({ signal }) => {
    calls.push(signal);
    if (calls.length !== 2) return `token-${calls.length}`;
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  } });
  rig.lynk.connect();
  await rig.hello({ expires: new Date(rig.clock.now + 60_000).toISOString() });
  await rig.clock.pass(5_000);
  assert.equal(calls.length, 2);
  await rig.clock.pass(6_000);
  rig.lynk.wake();
  await rig.ok(await rig.take('ping'));
  assert.equal(calls[1].aborted, true);
  await rig.clock.pass(5_000);
  assert.equal((await rig.take('refresh')).token, 'token-3');
  assert.equal(rig.state, 'connected');
});

test('close is the end, and a late frame is ignored', async () => {
  const rig = new Rig();
  await rig.online();
  const old = rig.socket.onmessage;
  rig.lynk.close();
  assert.deepEqual([rig.states.at(-1).willRetry, old && rig.socket.closed], [false, 1000]);
  await rig.clock.pass(60_000);
  assert.equal(rig.sockets.length, 1);
});

test('a hole in the live stream is paged', async () => {
  const rig = new Rig();
  await rig.online();
  rig.lynk.follow(ROOM);
  const subscribe = await rig.take('subscribe');
  await rig.say({ ...subscribed(5), re: subscribe.id });
  await rig.say(message(8));
  const fill = await rig.take('history');
  assert.equal(fill.after, 5);
  await rig.error(fill, 'busy', { retryable: true, retry_after_ms: 100 });
  await rig.clock.pass(2_000);
  const again = await rig.take('history');
  await rig.say({ ...page(6, 8, [6, 7, 8]), re: again.id });
  assert.deepEqual(rig.seqs, [6, 7, 8]);
});

test('at most two pages are asked for at a time', async () => {
  const rig = new Rig();
  await rig.online();
  const pages = [1, 2, 3, 4].map((before) => rig.lynk.history(ROOM, { before }));
  const first = await rig.taken();
  assert.deepEqual(first.map(({ before }) => before), [1, 2]);
  await rig.say({ ...page(1, 1, []), re: first[0].id });
  assert.deepEqual((await rig.taken()).map(({ before }) => before), [3]);
  await rig.lose();
  await assert.rejects(pages[3], { code: 'disconnected', retryable: true });
  await Promise.allSettled(pages);
});

test('a question that is refused for the time being is asked again, one that is refused for good is not', async () => {
  const rig = new Rig();
  await rig.online();
  const rows = rig.lynk.sync();
  await rig.error(await rig.take('sync'), 'rate_limited', { retryable: true, retry_after_ms: 500 });
  await rig.clock.pass(499);
  assert.deepEqual(await rig.taken(), []);
  await rig.clock.pass(1_000);
  await rig.say({ ev: 'sync', re: (await rig.take('sync')).id, rooms: [{ room: ROOM }] });
  assert.deepEqual(await rows, [{ room: ROOM }]);
  const found = rig.lynk.find('nowhere');
  await rig.error(await rig.take('find'), 'room_not_found');
  await assert.rejects(found, { code: 'room_not_found', retryable: false });
});

test('what is only told is lost without a connection, and unknown events keep their place', async () => {
  const rig = new Rig();
  rig.lynk.typing(ROOM);
  await rig.online();
  rig.lynk.follow(ROOM);
  await rig.say({ ...subscribed(5), re: (await rig.take('subscribe')).id });
  rig.lynk.read(ROOM, 5);
  assert.deepEqual(await rig.taken(), [{ op: 'read', room: ROOM, seq: 5 }]);
  await rig.say({ ev: 'levitated', room: ROOM, seq: 6, from: YOU });
  await rig.say(message(7));
  assert.deepEqual(rig.seqs, [6, 7]);
});
