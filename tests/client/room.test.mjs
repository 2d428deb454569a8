/** The web client's idea of a room, without a page. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Room } from '../../core/server/web/app/room.js';
import { ME, message, ROOM, YOU } from './fake.mjs';

const OTHER_USER = '00000000-0000-7000-8000-00000000000c';
const room = (...events) => {
  const made = Object.assign(new Room(ROOM), { low: 1, members: 2 });
  for (const event of events) made.apply(event, ME, false);
  return made;
};

test('unread counts what others wrote above the read cursor and did not delete', () => {
  const made = room(message(1), message(2, { from: ME }), message(3), message(4));
  assert.equal(made.unread, 3);
  made.read = 1;
  assert.deepEqual(made.recount(ME), { unread: 2, mentions: 0 });
  made.unread = 2;
  made.apply({ ev: 'delete', seq: 5, target: 4, from: YOU }, ME, false);
  assert.equal(made.unread, 1);
  made.apply({ ev: 'delete', seq: 6, target: 4, from: YOU }, ME, false);
  made.apply({ ev: 'delete', seq: 7, target: 2, from: ME }, ME, false);
  assert.deepEqual([made.unread, made.recount(ME).unread], [1, 1], 'once, and own ones not at all');
  made.low = 3;
  made.read = 1;
  assert.equal(made.recount(ME), undefined, 'what is here does not reach far enough');
});

test('unread messages that mention oneself are counted besides', () => {
  const made = room(message(1, { mentions: [ME] }), message(2, { mentions: [YOU] }), message(3, { mentions: [ME] }));
  made.read = 1;
  assert.deepEqual(made.recount(ME), { unread: 2, mentions: 1 });
});

test('what the server counted already is not counted again', () => {
  const made = room();
  made.unread = 2;
  made.apply(message(1), ME, true);
  made.apply({ ev: 'joined', seq: 2, user: OTHER_USER, from: OTHER_USER, role: 'member' }, ME, true);
  assert.deepEqual([made.unread, made.members], [2, 2]);
  made.apply({ ev: 'joined', seq: 3, user: OTHER_USER, from: OTHER_USER, role: 'member' }, ME, false);
  assert.equal(made.members, 3);
});

test('edits, reactions and deletes change their message, in a page or alive', () => {
  const made = room(message(1), { ev: 'reaction', seq: 2, target: 1, emoji: '👍', on: true, from: YOU }, { ev: 'reaction', seq: 3, target: 1, emoji: '👍', on: true, from: ME }, { ev: 'edit', seq: 4, target: 1, text: 'new', from: YOU });
  assert.deepEqual([made.items.get(1).text, made.items.get(1).edited, [...made.items.get(1).reactions.get('👍')]], ['new', true, [YOU, ME]]);
  made.apply({ ev: 'reaction', seq: 5, target: 1, emoji: '👍', on: false, from: YOU }, ME, false);
  made.apply({ ev: 'reaction', seq: 6, target: 1, emoji: '👍', on: false, from: ME }, ME, false);
  assert.equal(made.items.get(1).reactions.size, 0);
  made.apply({ ev: 'delete', seq: 7, target: 1, from: YOU }, ME, false);
  made.apply({ ev: 'edit', seq: 8, target: 1, text: 'too late', from: YOU }, ME, false);
  assert.deepEqual([made.items.get(1).text, made.items.get(1).deleted], [undefined, true]);
});

test('pages of the past go below, once, down to the beginning', () => {
  const made = room(message(9), message(10));
  made.low = 9;
  made.older({ events: [message(8), message(7), message(8)], covers: { from: 5, to: 8 }, more: true });
  assert.deepEqual([made.order, made.low, made.atStart], [[7, 8, 9, 10], 5, false]);
  made.older({ events: [message(2)], covers: { from: 1, to: 4 }, more: false });
  assert.deepEqual([made.order, made.atStart], [[2, 7, 8, 9, 10], true]);
});

test('receipts never go back, and who has read has it', () => {
  const made = room(message(1, { from: ME }));
  assert.equal(made.receipt('read', YOU, 5), true);
  assert.equal(made.receipt('read', YOU, 4), false);
  made.receipt('delivered', OTHER_USER, 1);
  assert.deepEqual(made.reachOf(1, ME), { read: [YOU], delivered: [OTHER_USER] });
  assert.deepEqual(made.reachOf(6, ME), { read: [], delivered: [] });
});

test('a record keeps the newest messages, and tells how far down it reaches', () => {
  const made = room(...Array.from({ length: 100 }, (_, i) => message(i + 1, { reactions: [{ emoji: '👍', users: [YOU] }] })));
  made.receipt('read', YOU, 7);
  const again = Room.ofRecord(structuredClone(made.toRecord({ epoch: 1, seq: 100 })));
  assert.deepEqual([again.order.length, again.low, again.order[0], again.items.get(100).reactions.get('👍').has(YOU), again.receipts.get(YOU).read], [80, 21, 21, true, 7]);
});
