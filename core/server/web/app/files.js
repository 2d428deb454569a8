/** The files of messages: pictures in the row, films and sound to be played, other files to be saved, and the links to all of them. */

import { h, icon, toast } from './dom.js';
import { bytesOf, explain } from './format.js';
import { makePlayer, playable } from './player.js';
import { openViewer } from './viewer.js';

/** A link that is good for less is asked for anew. Milliseconds. */
const LINK_LEFT_MS = 20_000;
/** Links, and pictures, that are kept; the oldest go first. */
const LINKS_MAX = 500;
const PICTURES_MAX = 200;
const PLAYERS_MAX = 50;
/** How far from the window a picture is before it is loaded. */
const NEAR = '400px';
/** The box that a picture alone in its message fits into, in pixels. */
const BOX = 320;

const KINDS = { 'application/pdf': 'PDF', 'application/zip': 'ZIP', 'application/epub+zip': 'Book', 'text/plain': 'Text', 'text/csv': 'Table', 'text/markdown': 'Text' };
const FAMILIES = { image: 'Picture', video: 'Film', audio: 'Sound' };

/** What kind of file it is, in a word. */
export function kindOf({ type, name }) {
  const ending = /\.([\p{L}\p{N}]{1,5})$/u.exec(name)?.[1];
  return KINDS[type] ?? FAMILIES[type.split('/')[0]] ?? ending?.toUpperCase() ?? 'File';
}

/** Whether the server made smaller pictures of it, and so knows its size. */
export const isPicture = ({ type, width }) => width > 0 && /^image\/(jpeg|png|gif|webp)$/.test(type);

const nameOf = (file) => file.name || (isPicture(file) ? 'Picture' : 'File');

const bounded = (map, most) => { while (map.size > most) map.delete(map.keys().next().value); };

export class Files {
  #chat;
  #links = new Map();
  /** By file: an element that stays while its row is made anew, so that a tick does not make it load again. */
  #pictures = new Map();
  #players = new Map();
  #near;

  constructor(chat) {
    this.#chat = chat;
    this.#near = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) { this.#near.unobserve(target); target.load(); }
    }, { rootMargin: NEAR });
  }

  /** A link to a file, asked for anew when the last one is over or `fresh` is wanted. */
  async link(id, variant = 0, fresh = false) {
    const key = `${id} ${variant}`;
    const known = this.#links.get(key);
    if (known && !fresh && known.ends - this.#chat.lynk.serverNow > LINK_LEFT_MS) return known.url;
    const link = await this.#chat.account.mediaLink(id, variant);
    this.#links.delete(key);
    this.#links.set(key, link);
    bounded(this.#links, LINKS_MAX);
    return link.url;
  }

  /** Whether the link to a whole file, if there is one, is worth nothing any more. */
  linkIsOver(id) {
    const known = this.#links.get(`${id} 0`);
    return !known || known.ends <= this.#chat.lynk.serverNow;
  }

  /** Saves a file under its name. */
  async save(file) {
    try {
      const url = await this.link(file.id);
      // The server says under which name, and that it is to be saved: where it sends on to, `download` means nothing.
      h('a', { href: `${url}&save=true`, download: '' }).click();
    } catch (error) {
      toast(error.code === 'attachment_not_found' ? `${nameOf(file)} is not there any more.` : explain(error), { kind: 'error' });
    }
  }

  /** What a message shows of its files; `undefined` when it has none. */
  element(list) {
    if (!list?.length) return undefined;
    const pictures = list.filter(isPicture);
    return h('div', { class: 'files' },
      pictures.length > 0 && h('div', { class: pictures.length > 1 ? 'pictures many' : 'pictures' }, pictures.map((file) => this.#picture(file, pictures))),
      list.filter((file) => !isPicture(file)).map((file) => this.#player(file) ?? this.#file(file)));
  }

  #file(file) {
    const about = `${kindOf(file)}, ${bytesOf(file.bytes)}`;
    return h('button', { type: 'button', class: 'file', onclick: () => this.save(file) },
      icon('file'), h('span', { class: 'unseen' }, 'Save '), h('span', { class: 'person' }, h('span', { class: 'file-name', dir: 'auto' }, nameOf(file)), h('span', { class: 'hint' }, about)), icon('save', 'small'));
  }

  /** A film or a sound, where this browser plays such. It stays while its row is made anew, and so goes on. */
  #player(file) {
    const family = playable(file);
    if (!family) return undefined;
    const player = this.#players.get(file.id) ?? makePlayer(this, file, { family, name: nameOf(file), kind: kindOf(file), alone: (media) => this.#quieten(media) });
    this.#players.delete(file.id);
    this.#players.set(file.id, player);
    bounded(this.#players, PLAYERS_MAX);
    return player;
  }

  /** One plays at a time. */
  #quieten(but) {
    for (const player of this.#players.values()) {
      const media = player.querySelector('audio, video');
      if (media && media !== but && !media.paused) media.pause();
    }
  }

  #picture(file, pictures) {
    const known = this.#pictures.get(file.id);
    if (known && known.among === pictures.length) return known;
    const alone = pictures.length === 1;
    const scale = alone ? Math.min(1, BOX / Math.max(file.width, file.height)) : 1;
    const image = h('img', { alt: '', decoding: 'async', draggable: 'false', ...(alone && { width: Math.max(48, Math.round(file.width * scale)), height: Math.max(48, Math.round(file.height * scale)) }) });
    const said = h('span', { class: 'picture-said', 'aria-hidden': 'true' });
    const button = h('button', { type: 'button', class: 'picture loading' }, image, said);
    const name = (text) => button.setAttribute('aria-label', text);
    const open = () => openViewer(this, pictures, pictures.indexOf(file));
    let tried = 0;
    const failed = (error) => {
      button.classList.remove('loading');
      button.classList.add('failed');
      const gone = error?.code === 'attachment_not_found';
      said.textContent = gone ? 'Not there any more' : 'Not loaded. Try again';
      name(`${nameOf(file)}: ${said.textContent.toLowerCase()}`);
      button.disabled = gone;
    };
    button.load = async (fresh = false) => {
      button.classList.add('loading');
      button.classList.remove('failed');
      said.textContent = '';
      name(`Open the picture ${nameOf(file)}`);
      try { image.src = await this.link(file.id, 1, fresh); } catch (error) { failed(error); }
    };
    image.addEventListener('load', () => button.classList.remove('loading'));
    // A link may have ended between being asked for and being used.
    image.addEventListener('error', () => { if (tried++ === 0) button.load(true); else failed(); });
    button.addEventListener('click', () => { if (button.classList.contains('failed')) { tried = 0; button.load(true); } else open(); });
    name(`Open the picture ${nameOf(file)}`);
    button.among = pictures.length;
    this.#pictures.delete(file.id);
    this.#pictures.set(file.id, button);
    bounded(this.#pictures, PICTURES_MAX);
    this.#near.observe(button);
    return button;
  }

  /** Lets go of files that are gone. */
  forget(list = []) {
    for (const { id } of list) {
      this.#pictures.delete(id);
      this.#players.get(id)?.querySelector('audio, video')?.pause();
      this.#players.delete(id);
      for (const variant of [0, 1, 2]) this.#links.delete(`${id} ${variant}`);
    }
  }
}
