/** The library against the real server. */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Lynk, LynkAccount } from '../../core/server/web/lynk.js';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const BINARY = [process.env.LYNK, 'target/release/lynk', 'target/debug/lynk'].filter(Boolean).map((name) => path.resolve(ROOT, name)).find(existsSync);
assert.ok(BINARY, 'no server to test: build one (cargo build --bin lynk), or name it in the environment variable LYNK');
assert.ok(globalThis.WebSocket, 'this Node has no WebSocket: run it with --experimental-websocket');

const data = mkdtempSync(path.join(tmpdir(), 'lynk-client-'));
let server;
let port;
const clients = [];

/** Below the ports that the kernel gives to outgoing connections: a restart must get it again. */
async function freePort() {
  for (;;) {
    const found = 20_000 + Math.floor(Math.random() * 10_000);
    if (await new Promise((resolve) => { const probe = net.createServer().once('error', () => resolve(false)).listen(found, '127.0.0.1', () => probe.close(() => resolve(true))); })) return found;
  }
}
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const until = async (what, condition, limit = 60_000) => {
  for (const end = Date.now() + limit; !(await condition()); await sleep(20)) assert.ok(Date.now() < end, `in time: ${what}`);
};

async function start() {
  server = spawn(BINARY, ['serve', '--data', data, '--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${await freePort()}`], { stdio: 'ignore' });
  await until('the server listens', () => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); }).on('error', () => resolve(false));
  }));
}

function kill() {
  return new Promise((resolve) => { server.once('exit', resolve); server.kill('SIGKILL'); });
}

const tokenOf = (user, ttl = '15m', session = undefined) => execFileSync(BINARY, ['token', '--user', user, '--ttl', ttl, '--data', data, ...(session ? ['--session', session] : [])], { encoding: 'utf8' }).trim();

/** A client that remembers what it was told. */
function client(user, options = {}) {
  const lynk = new Lynk({ url: `ws://127.0.0.1:${port}/ws`, token: async () => tokenOf(user, '15m', lynk.hello?.session), ...options });
  lynk.texts = [];
  lynk.seqs = [];
  lynk.on('event', ({ event }) => {
    lynk.seqs.push(event.ev === 'gap' ? `gap ${event.from}-${event.to}` : event.seq);
    if (event.ev === 'message') lynk.texts.push(event.text);
  });
  clients.push(lynk);
  lynk.connect();
  return until(`${user} is connected`, () => lynk.online).then(() => lynk);
}

before(async () => { port = await freePort(); await start(); });
after(async () => { for (const lynk of clients) lynk.close(); await kill(); rmSync(data, { recursive: true, force: true }); });

test('two people talk, and see typing, delivered and read', async () => {
  const [alice, bob] = await Promise.all([client('alice'), client('bob')]);
  const { room } = await alice.create('talk');
  alice.follow(room);
  await bob.join((await bob.find('TALK')).room);
  bob.follow(room);
  await until('both follow', () => alice.cursor(room)?.seq === 2 && bob.cursor(room)?.seq === 2);
  const signs = [];
  for (const kind of ['typing', 'delivered', 'read']) alice.on(kind, ({ user, seq }) => signs.push([kind, user === bob.user, seq]));
  const { seq, event } = await alice.send(room, 'hello').done;
  assert.deepEqual([event.ev, event.text, event.from], ['message', 'hello', alice.user]);
  await until('bob hears', () => bob.texts.includes('hello'));
  bob.typing(room);
  bob.delivered(room, seq);
  bob.read(room, seq);
  await until('alice sees the signs', () => signs.length >= 3);
  assert.deepEqual(new Set(signs.map(([kind, ofBob, at]) => `${kind} ${ofBob} ${at}`)), new Set(['typing true undefined', `delivered true ${seq}`, `read true ${seq}`]));
  await bob.send(room, 'hi', { replyTo: seq }).done;
  await bob.react(room, seq, '👍').done;
  await alice.edit(room, seq, 'hello!').done;
  await bob.delete(room, seq + 1).done;
  await until('all is in its place', () => alice.cursor(room).seq === bob.cursor(room).seq && alice.cursor(room).seq === seq + 4);
  const { events } = await bob.history(room, { before: seq + 2 });
  assert.deepEqual(events.map(({ text, edited, deleted, reactions }) => [text, edited, deleted, reactions?.length]), [[undefined, undefined, seq + 4, undefined], ['hello!', seq + 3, undefined, 1]]);
});

test('a conversation of strangers waits until it is accepted, and is declined without a word', async () => {
  const [ivy, jon, kim] = await Promise.all([client('ivy'), client('jon'), client('kim')]);
  const told = [];
  for (const lynk of [ivy, jon, kim]) for (const name of ['added', 'conversation_accepted', 'removed']) lynk.on(name, ({ room, user, request }) => told.push([lynk.user, name, room, user ?? request]));
  const asked = await ivy.direct(jon.user);
  assert.equal(asked.request, 'sent');
  await until('the other is told', () => told.some(([who, name, room, request]) => who === jon.user && name === 'added' && room === asked.room && request === 'received'));
  for (const lynk of [ivy, jon]) lynk.follow(asked.room);
  for (const text of ['one', 'two', 'three']) await ivy.send(asked.room, text).done;
  await assert.rejects(ivy.send(asked.room, 'four').done, { code: 'request_pending' });
  for (const entry of ivy.outbox) ivy.discard(entry.id);
  await assert.rejects(jon.request('react', { room: asked.room, seq: 1, emoji: '👍' }), { code: 'request_pending' });
  const requestOf = async (lynk) => (await lynk.sync()).find(({ room }) => room === asked.room)?.request;
  assert.deepEqual([await requestOf(ivy), await requestOf(jon)], ['sent', 'received']);
  await jon.acceptConversation(asked.room);
  await until('who asked is told', () => told.some(([who, name, room, user]) => who === ivy.user && name === 'conversation_accepted' && room === asked.room && user === jon.user));
  assert.deepEqual([await requestOf(ivy), await requestOf(jon)], [undefined, undefined]);
  await jon.send(asked.room, 'hello').done;
  await until('they talk', () => ivy.texts.includes('hello'));
  await assert.rejects(jon.acceptConversation(asked.room), { code: 'conflict' });

  const { room } = await kim.direct(jon.user);
  await until('he is told of the other', () => told.some(([who, name, of]) => who === jon.user && name === 'added' && of === room));
  await jon.declineConversation(room);
  assert.equal((await jon.sync()).some((row) => row.room === room), false);
  assert.equal((await kim.sync()).find((row) => row.room === room)?.request, 'sent');
  await kim.send(room, 'anybody?').done;
  assert.ok(!told.some(([who, name]) => who === kim.user && name !== 'added'), 'who asked is told nothing');
});

test('a file is put, sent without words and read by a link; one that is refused says why, and one that is cancelled is deleted', async () => {
  const [gil, hal] = await Promise.all([client('gil'), client('hal')]);
  const account = (name) => new LynkAccount({ base: `http://127.0.0.1:${port}`, store: { get: () => ({ access_token: tokenOf(name), access_until: Infinity }), set() {} } });
  const { room } = await gil.create('files');
  await hal.join(room);
  for (const lynk of [gil, hal]) lynk.follow(room);
  await until('both follow', () => gil.cursor(room) && hal.cursor(room));
  const own = account('gil');
  const file = (text, name, type = 'text/plain') => Object.assign(new Blob([text], { type }), { name });
  const upload = own.upload(file('a report', 'report.txt'), { room });
  const states = [];
  upload.on('change', ({ state }) => { if (states.at(-1) !== state) states.push(state); });
  const media = await upload.start();
  assert.deepEqual([media.state, media.bytes, media.name, states.at(0), states.at(-1)], ['ready', 8, 'report.txt', 'sending', 'ready']);
  assert.equal(await upload.start(), media);
  const news = new Promise((resolve) => hal.on('event', ({ event }) => event.ev === 'message' && resolve(event)));
  const { event } = await gil.send(room, '', { attachments: [media] }).done;
  assert.deepEqual(event.attachments, (await news).attachments);
  assert.deepEqual(event.attachments, [{ id: media.media, name: 'report.txt', type: 'text/plain', bytes: 8 }]);
  const { url, ends } = await account('hal').mediaLink(media.media);
  assert.ok(ends > Date.now());
  assert.equal(await (await fetch(url)).text(), 'a report');
  await assert.rejects(own.upload(file('no picture', 'false.png', 'image/png'), { room }).start(), ({ code, reason }) => code === 'rejected' && reason === 'other_type');
  await assert.rejects(own.upload(file('MZ', 'tool.exe', 'application/x-msdownload'), { room }).start(), { code: 'invalid_field' });
  // The bytes are lost on their way: it goes on with the announcement that there is.
  let announced = 0;
  let puts = 0;
  const { authorised } = own;
  own.authorised = (method, path, body) => { if (method === 'POST' && path === '/media') announced++; return authorised.call(own, method, path, body); };
  const again = own.upload(file('at last', 'again.txt'), { room, put: async (url, body, type) => {
    if (++puts === 1) throw Object.assign(new Error('lost'), { code: 'network', retryable: true });
    const answer = await fetch(url, { method: 'PUT', body, headers: { 'content-type': type } });
    return { status: answer.status, text: await answer.text() };
  } });
  await assert.rejects(again.start(), { code: 'network' });
  assert.equal(again.state, 'failed');
  assert.deepEqual([(await again.start()).bytes, again.state, announced, puts], [7, 'ready', 1, 2]);
  const late = own.upload(file('too late', 'late.txt'), { room, put: () => { late.cancel(); return new Promise((_, reject) => reject(new Error('cut'))); } });
  await assert.rejects(late.start(), { code: 'cancelled' });
  await until('it is deleted', async () => (await own.mediaUsage()).open === 0);
});

test('kill -9 in the middle of a conversation: nothing is missing, nothing is doubled, and the order is one', async () => {
  const [ann, ben] = await Promise.all([client('ann'), client('ben')]);
  const { room } = await ann.create('storm');
  await ben.join(room);
  ann.follow(room);
  ben.follow(room);
  await until('both follow', () => ann.cursor(room) && ben.cursor(room));
  const sent = [];
  const talk = async (lynk, name) => {
    for (let i = 0; i < 60; i++) {
      const text = `${name} ${i}`;
      sent.push(text);
      lynk.send(room, text);
      await sleep(15);
    }
  };
  const talking = Promise.all([talk(ann, 'ann'), talk(ben, 'ben')]);
  for (let i = 0; i < 3; i++) {
    await sleep(250);
    await kill();
    await sleep(100);
    await start();
  }
  await talking;
  await until('everything arrived', () => ann.outbox.length === 0 && ben.outbox.length === 0 && ann.texts.length >= 120 && ben.texts.length >= 120);
  for (const lynk of [ann, ben]) {
    assert.equal(lynk.texts.length, 120);
    assert.equal(new Set(lynk.texts).size, 120);
    assert.deepEqual([...lynk.texts].sort(), [...sent].sort());
    for (const name of ['ann', 'ben']) assert.deepEqual(lynk.texts.filter((text) => text.startsWith(name)), sent.filter((text) => text.startsWith(name)), 'the order of each person');
  }
  assert.deepEqual(ann.texts, ben.texts);
});

test('a client that was away resumes over more than a resume returns', async () => {
  const writer = await client('writer');
  const { room } = await writer.create('long');
  writer.follow(room);
  const first = await client('reader');
  await first.join(room);
  first.follow(room);
  await until('the reader follows', () => first.cursor(room));
  const cursor = first.cursor(room);
  first.close();
  for (let i = 0; i < 260; i++) writer.send(room, `line ${i}`);
  await until('all is written', () => writer.outbox.length === 0, 240_000);
  const reader = new Lynk({ url: `ws://127.0.0.1:${port}/ws`, token: () => tokenOf('reader') });
  clients.push(reader);
  const texts = [];
  let before;
  reader.on('event', ({ event }) => event.ev === 'message' && texts.push(event.text));
  reader.on('state', ({ state }) => { if (state === 'connected') before = texts.length; });
  reader.follow(room, cursor);
  reader.connect();
  await until('it is connected', () => reader.online);
  assert.equal(before, 260, 'only then is it connected');
  assert.deepEqual(texts, Array.from({ length: 260 }, (_, i) => `line ${i}`));
});

test('the token is replaced on the open socket, and the connection outlives the first one', async () => {
  let tokens = 0;
  let lynk;
  lynk = await client('clock', { token: async () => { tokens++; return tokenOf('clock', tokens === 1 ? '30s' : '15m', lynk?.hello?.session ?? clients.at(-1)?.hello?.session); } });
  const states = [];
  lynk.on('state', ({ state }) => states.push(state));
  await sleep(31_500);
  assert.deepEqual([tokens, lynk.online, states], [2, true, []]);
});

test('a token that is not accepted ends it for good', async () => {
  const lynk = new Lynk({ url: `ws://127.0.0.1:${port}/ws`, token: () => 'nonsense' });
  lynk.connect();
  await until('it gives up', () => lynk.status.state === 'disconnected' && !lynk.status.willRetry);
  assert.equal(lynk.status.code, 4000);
});

test('the echo bot of the guide answers', async () => {
  const bot = spawn(process.execPath, ['--experimental-websocket', path.join(ROOT, 'examples/echo-bot.mjs'), 'parrots'], { env: { ...process.env, LYNK_URL: `ws://127.0.0.1:${port}/ws`, LYNK_TOKEN: tokenOf('parrot') }, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    let said = '';
    for (const stream of [bot.stdout, bot.stderr]) stream.on('data', (text) => { said += text; });
    await until('the bot listens', () => said.includes('listening in parrots')).catch((error) => { throw new Error(`${error.message}: ${said}`); });
    const human = await client('human');
    const { room } = await human.find('parrots');
    await human.join(room);
    human.follow(room);
    await human.send(room, 'Polly?').done;
    await until('it answers', () => human.texts.includes('You said: Polly?'));
  } finally { bot.kill(); }
});
