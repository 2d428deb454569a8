import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff, parseTime, RoomFlow, tokenLife, uuidv7 } from '../../core/server/web/lynk.js';
import { message, page, subscribed } from './fake.mjs';

const seqs = (events) => events.map((event) => (event.ev === 'gap' ? `${event.from}-${event.to}` : event.seq));
const at = (seq) => {
  const flow = new RoomFlow();
  assert.deepEqual(flow.take(subscribed(seq)), { reset: false, events: [] });
  return flow;
};

test('events come out in order and once', () => {
  const flow = at(5);
  assert.deepEqual(seqs(flow.event(message(6))), [6]);
  assert.deepEqual(flow.event(message(6)), [], 'a repeat');
  assert.deepEqual(flow.event(message(9)), [], 'early');
  assert.deepEqual(flow.event(message(8)), [], 'early');
  assert.equal(flow.lacksPage, true);
  assert.deepEqual(seqs(flow.event(message(7))), [7, 8, 9]);
  assert.equal(flow.lacksPage, false);
});

test('what a resync left out is paged while live events wait', () => {
  const flow = at(5);
  flow.resync({ epoch: 1, to: 200 });
  assert.deepEqual(flow.event(message(201)), []);
  assert.deepEqual(seqs(flow.page(page(6, 100, [6, 50]))), [6, 50]);
  assert.deepEqual(flow.cursor, { epoch: 1, seq: 100 }, 'a page covers more than it holds');
  assert.deepEqual(seqs(flow.page(page(101, 200, [150]))), [150, 201]);
  assert.equal(flow.lacksPage, false);
});

test('a resume continues, or leaves a hole that is paged', () => {
  const flow = at(5);
  assert.deepEqual(seqs(flow.take(subscribed(8, [6, 7, 8])).events), [6, 7, 8]);
  assert.deepEqual(flow.take(subscribed(14, [12, 13, 14])).events, []);
  assert.equal(flow.lacksPage, true);
  assert.deepEqual(seqs(flow.page(page(9, 11, [9, 10, 11]))), [9, 10, 11, 12, 13, 14]);
});

test('gaps come where they are', () => {
  const flow = at(5);
  assert.deepEqual(flow.event({ ev: 'gap', from: 7, to: 1024, reason: 'lost' }), [], '6 is missing');
  assert.deepEqual(seqs(flow.event(message(6))), [6, '7-1024']);
  assert.deepEqual(seqs(flow.event(message(1025))), [1025]);
});

test('a hole that nobody explains is told and passed', () => {
  const flow = at(5);
  flow.event(message(8));
  const events = flow.page(page(6, 5, []));
  assert.equal(events[0].reason, 'unexplained');
  assert.deepEqual(seqs(events), ['6-7', 8]);
});

test('another epoch is another history', () => {
  const flow = at(50);
  flow.event(message(60));
  const { reset, events } = flow.take(subscribed(12, [], { epoch: 2 }));
  assert.deepEqual([reset, events, flow.cursor], [true, [], { epoch: 2, seq: 12 }]);
  assert.deepEqual(seqs(flow.event(message(13))), [13]);
});

test('every order of arrival ends in the same order', () => {
  const orders = (list) => (list.length < 2 ? [list] : list.flatMap((first, index) => orders(list.filter((_, at) => at !== index)).map((rest) => [first, ...rest])));
  for (const order of orders([6, 7, 8, 9, 10])) {
    const flow = at(5);
    assert.deepEqual(order.flatMap((seq) => seqs(flow.event(message(seq)).concat(flow.event(message(seq))))), [6, 7, 8, 9, 10], `${order}`);
  }
});

test('the backoff has full jitter between its bounds and obeys the server', () => {
  assert.deepEqual([0, 1, 2, 10, 60].map((attempt) => backoff(attempt, 1)), [200, 400, 800, 20_000, 20_000]);
  assert.equal(backoff(10, 0), 0);
  assert.equal(backoff(0, 0.5, 7_000), 7_100, 'never sooner than the server asked for');
});

test('keys are of version 7, unique, and of their time', () => {
  const keys = new Set(Array.from({ length: 1_000 }, () => uuidv7(1_800_000_000_123)));
  assert.equal(keys.size, 1_000);
  for (const key of keys) {
    assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(parseInt(key.replaceAll('-', '').slice(0, 12), 16), 1_800_000_000_123);
  }
});

test('times and lives of tokens are read in every form', () => {
  assert.equal(parseTime('2027-01-15T08:00:00.123Z'), 1_800_000_000_123);
  assert.equal(parseTime(5), 5);
  const token = `x.${Buffer.from(JSON.stringify({ iat: 100, exp: 1_000 })).toString('base64url')}.y`;
  assert.equal(tokenLife(token), 900_000);
  assert.equal(tokenLife('nonsense'), undefined);
});
