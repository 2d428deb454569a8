/**
 * Pictures of people and rooms: the letters of a name, and above them the picture as soon as it is here. What is drawn is kept, so that a row that
 * is made anew asks for nothing: a link, which ends after minutes, is needed once for each picture.
 */

import { h } from './dom.js';
import { initialsOf, tintOf } from './format.js';

/** Pixels of a side that are kept: the greatest place a picture is shown in, on a screen of twice the density. */
const SIDE = 160;
/** Pictures that are kept (100 KB each), and what is known of others; the oldest go first. */
const KEPT = 150;
const KNOWN = 1_000;
/** Pictures on their way at a time; the rest waits. */
const AT_ONCE = 3;
/** Milliseconds until a picture that did not come is asked for again, where it is shown anew; one that is not there any more. */
const AGAIN_MS = 30_000;
const GONE_MS = 600_000;
/** Milliseconds for the bytes of one. */
const LATE_MS = 15_000;
/** How far from the window a picture is before it is loaded. */
const NEAR = '200px';

const bounded = (map, most) => { while (map.size > most) map.delete(map.keys().next().value); };

export class Faces {
  #chat;
  #near;
  /** By id: what is drawn, oldest use first. */
  #drawn = new Map();
  /** By id: until when it is not asked for. */
  #not = new Map();
  /** By id: the elements that wait for it, and how to ask. */
  #waiting = new Map();
  #queue = [];
  #running = 0;

  constructor(chat) {
    this.#chat = chat;
    this.#near = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) { this.#near.unobserve(target); this.#want(target); }
    }, { rootMargin: NEAR });
  }

  end() { this.#near.disconnect(); this.#queue = []; }

  /** The picture of a person, round. `picture`: what is known better than from the profiles that are kept. For the eye only: the name stands beside it. */
  person(who, name, { size, online, picture = this.ofPerson(who) } = {}) { return this.#element(who, name, { size, online, picture, user: who }); }

  /** The picture of a room, `{room or id, name, avatar}`; `code` of a link into it where one is outside. */
  room(room, name, { size, code } = {}) {
    return h('span', { class: 'square' }, this.#element(room.id ?? room.room, name, { size, picture: room.avatar, code }));
  }

  /** The picture of a conversation: of the other side, or of the room. */
  of(room, { size, online } = {}) {
    const title = this.#chat.title(room);
    return room.direct ? this.person(room.peer, title, { size, online }) : this.room(room, title, { size });
  }

  /** The id of what is shown, which belongs into the sign of a row. */
  ofPerson(who) { return this.#chat.users.get(who)?.avatar ?? undefined; }
  shown(room) { return (room.direct ? this.ofPerson(room.peer) : room.avatar) ?? undefined; }

  #element(id, name, { size = '', online, picture, user, code }) {
    const element = h('span', { class: `avatar tint-${tintOf(id)} ${size}`, 'aria-hidden': 'true' }, initialsOf(name), online && h('span', { class: 'online-dot' }));
    if (!picture) return element;
    const bitmap = this.#drawn.get(picture);
    if (bitmap) {
      this.#drawn.delete(picture);
      this.#drawn.set(picture, bitmap);
      draw(element, bitmap);
    } else {
      element.face = { picture, user, code };
      this.#near.observe(element);
    }
    return element;
  }

  #want(element) {
    const { picture, user, code } = element.face;
    const bitmap = this.#drawn.get(picture);
    if (bitmap) { draw(element, bitmap); return; }
    if (this.#not.get(picture) > Date.now()) return;
    const waiting = this.#waiting.get(picture);
    if (waiting) { waiting.add(element); return; }
    this.#waiting.set(picture, new Set([element]));
    this.#queue.push({ picture, user, code });
    this.#next();
  }

  async #next() {
    if (this.#running >= AT_ONCE || !this.#queue.length) return;
    const { picture, user, code } = this.#queue.shift();
    const waiting = this.#waiting.get(picture);
    this.#running++;
    try {
      // Whoever scrolls past does not look at it.
      if (![...waiting].some((element) => element.isConnected)) return;
      const bitmap = await this.#load(picture, code);
      this.#drawn.set(picture, bitmap);
      bounded(this.#drawn, KEPT);
      for (const element of waiting) draw(element, bitmap);
    } catch (error) {
      const gone = error.code === 'attachment_not_found';
      this.#not.delete(picture);
      this.#not.set(picture, Date.now() + (gone ? GONE_MS : AGAIN_MS));
      bounded(this.#not, KNOWN);
      // Another one is likely in its place.
      if (gone && user) this.#chat.lookAgain(user);
      else if (!gone && error.code !== 'signed_out') setTimeout(() => { for (const element of waiting) if (element.isConnected) this.#near.observe(element); }, AGAIN_MS + 50);
    } finally {
      this.#waiting.delete(picture);
      this.#running--;
      this.#next();
    }
  }

  async #load(picture, code) {
    for (let tries = 1; ; tries++) {
      const { url } = await this.#chat.account.mediaLink(picture, 1, code);
      const answer = await fetch(url, { credentials: 'omit', signal: AbortSignal.timeout(LATE_MS) });
      if (answer.ok) return small(await answer.blob());
      // The link may have ended just now.
      if (tries > 1) throw new Error(`the server answered ${answer.status}`);
    }
  }
}

/** The middle of a picture, as it is kept. */
async function small(blob) {
  const whole = await createImageBitmap(blob);
  const side = Math.min(whole.width, whole.height);
  try {
    return await createImageBitmap(whole, (whole.width - side) >> 1, (whole.height - side) >> 1, side, side, { resizeWidth: SIDE, resizeHeight: SIDE, resizeQuality: 'medium' });
  } finally { whole.close(); }
}

/** Puts a picture above the letters. Drawn, as the page's policy allows no `blob:` addresses. */
export function draw(element, bitmap) {
  element.querySelector('canvas')?.remove();
  const canvas = h('canvas', { width: SIDE, height: SIDE });
  canvas.getContext('2d').drawImage(bitmap, 0, 0, SIDE, SIDE);
  element.insertBefore(canvas, element.querySelector('.online-dot'));
}

/** A file of this machine, drawn over the letters of `element`; nothing when it is no picture. */
export async function preview(element, file) {
  try {
    const bitmap = await small(file);
    draw(element, bitmap);
    bitmap.close();
  } catch { /* The server says what is wrong with it. */ }
}
