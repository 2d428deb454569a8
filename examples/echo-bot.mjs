/**
 * A bot that joins a room and answers everything that is said to it. It survives restarts of the server: what was said meanwhile is answered
 * when it is back, once.
 *
 *   LYNK_TOKEN=$(lynk token --user echo --ttl 8h) node --experimental-websocket examples/echo-bot.mjs lobby
 *
 * Node 22 and newer need no flag. LYNK_URL names another server than ws://127.0.0.1:7777/ws.
 */

import { Lynk } from '../core/server/web/lynk.js';

const name = process.argv[2] ?? 'lobby';
const token = process.env.LYNK_TOKEN;
if (!token) {
  console.error('LYNK_TOKEN is missing. Make one with: lynk token --user echo --ttl 8h');
  process.exit(2);
}

const lynk = new Lynk({ url: process.env.LYNK_URL ?? 'ws://127.0.0.1:7777/ws', token: () => token });

lynk.on('state', ({ state, reason, willRetry }) => {
  console.log(state, reason ?? '');
  if (state === 'disconnected' && !willRetry) process.exit(1);
});

lynk.on('event', ({ room, event }) => {
  if (event.ev !== 'message' || event.deleted || event.from === lynk.user) return;
  lynk.read(room, event.seq);
  // Kept in the outbox until the server has it: a lost connection loses no answer and doubles none.
  lynk.send(room, `You said: ${event.text}`, { replyTo: event.seq });
});

lynk.connect();
if (!lynk.online) await new Promise((resolve) => lynk.on('state', ({ state }) => state === 'connected' && resolve()));

const { room } = await lynk.find(name).catch((error) => {
  if (error.code !== 'room_not_found') throw error;
  return lynk.create(name);
});
await lynk.join(room).catch((error) => { if (error.code !== 'conflict') throw error; });
lynk.follow(room);
console.log(`listening in ${name}`);
