/** Files that go with the next message of a room: chosen, dropped or pasted, and put to the server while one writes. */

import { announce, h, icon, iconButton, toast } from './dom.js';
import { bytesOf, count } from './format.js';
import { helps, why } from './refused.js';

/** Files of one message. */
export const FILES_MAX = 10;
/** Uploads of one room at a time. */
const AT_ONCE = 2;
/** Pixels of a preview's smaller side, on any screen. */
const PREVIEW = 96;

/** The files above the message field of one room. `changed` is called whenever something about them changed. */
export class Tray {
  #chat;
  #room;
  #changed;
  #items = [];

  constructor(chat, room, changed) {
    this.#chat = chat;
    this.#room = room;
    this.#changed = changed;
    this.element = h('ul', { class: 'tray', 'aria-label': 'Files of this message', hidden: true });
  }

  get size() { return this.#items.length; }
  get ready() { return this.size > 0 && this.#items.every((item) => item.file); }
  get waits() { return this.#items.some((item) => !item.file); }

  add(list) {
    const files = [...list];
    const free = FILES_MAX - this.size;
    if (files.length > free) toast(`A message takes up to ${FILES_MAX} files: ${count(files.length - Math.max(0, free), 'file')} left out.`, { kind: 'error' });
    for (const file of files.slice(0, Math.max(0, free))) this.#begin(file);
    this.#next();
    this.#tell();
  }

  /** Takes back what was in a message that was not sent. */
  restore(list = []) {
    for (const file of list.slice(0, FILES_MAX - this.size)) {
      const item = { file, name: file.name, element: h('li', { class: 'tray-item' }) };
      this.#items.push(item);
      this.#show(item);
    }
    this.#tell();
  }

  /** What is there goes with a message. */
  take() {
    const taken = this.#items.map((item) => item.file);
    this.#items = [];
    this.#tell();
    return taken;
  }

  /** Gives all of them up. */
  end() {
    for (const item of this.#items) item.upload?.cancel();
    this.#items = [];
    this.#tell();
  }

  #begin(file) {
    const upload = this.#chat.account.upload(file, { room: this.#room });
    const item = { upload, name: upload.name, element: h('li', { class: 'tray-item' }), started: false };
    item.picture = this.#preview(file, upload);
    this.#items.push(item);
    this.#show(item);
    let shown = '';
    upload.on('change', () => {
      const now = `${upload.state} ${Math.floor((upload.sent / upload.bytes) * 100)}`;
      if (now !== shown && this.#items.includes(item)) { shown = now; this.#show(item); }
    });
  }

  /** A small picture of a picture; an outline of everything else. Drawn, since the page's policy allows no `blob:` addresses. */
  #preview(file, upload) {
    const element = h('span', { class: 'tray-picture' }, icon(upload.type.startsWith('image/') ? 'image' : 'file'));
    if (/^image\/(jpeg|png|gif|webp|avif)$/.test(upload.type)) {
      createImageBitmap(file, { resizeHeight: PREVIEW, resizeQuality: 'medium' }).then((bitmap) => {
        const side = Math.min(bitmap.width, bitmap.height);
        const canvas = h('canvas', { width: PREVIEW, height: PREVIEW });
        canvas.getContext('2d').drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, PREVIEW, PREVIEW);
        bitmap.close();
        element.replaceChildren(canvas);
      }, () => {});
    }
    return element;
  }

  #next() {
    const running = this.#items.filter((item) => item.running).length;
    for (const item of this.#items.filter((one) => one.upload && !one.started).slice(0, Math.max(0, AT_ONCE - running))) this.#run(item);
  }

  async #run(item) {
    Object.assign(item, { started: true, running: true, why: undefined });
    this.#show(item);
    try {
      const { media: id, name, type, bytes, width, height } = await item.upload.start();
      item.file = { id, name, type, bytes, ...(width && { width, height }) };
      announce(`${item.name} is there`);
    } catch (error) {
      if (error.code === 'cancelled' || error.code === 'signed_out') return;
      item.why = await why(this.#chat, item.upload);
    } finally {
      item.running = false;
      if (this.#items.includes(item)) this.#show(item);
      this.#next();
      this.#tell();
    }
  }

  #remove(item) {
    const at = this.#items.indexOf(item);
    if (at < 0) return;
    this.#items.splice(at, 1);
    if (item.upload) item.upload.cancel();
    else this.#chat.account.deleteMedia(item.file.id).catch(() => {});
    this.#tell();
    announce(`${item.name} was removed`);
    // The focus goes to the neighbour, or back to the message field.
    (this.#items[Math.min(at, this.size - 1)]?.element.querySelector('.tray-end') ?? document.querySelector('#composer'))?.focus();
    this.#next();
  }

  #show(item) {
    const { upload, file, element } = item;
    const name = item.name || 'File';
    const done = file ? 100 : Math.floor((upload.sent / Math.max(1, upload.bytes)) * 100);
    const state = file ? bytesOf(file.bytes) : item.why ?? (!item.started ? 'Waits for the others' : upload.state === 'looking' ? 'Is being checked…' : `${bytesOf(upload.sent)} of ${bytesOf(upload.bytes)}`);
    if (!element.firstChild) {
      item.line = h('span', { class: 'hint' });
      item.bar = h('progress', { max: '100', 'aria-label': `Sending ${name}` });
      item.again = h('button', { type: 'button', class: 'link', onclick: () => { item.started = false; item.why = undefined; item.end.focus(); this.#show(item); this.#next(); this.#tell(); } }, 'Try again');
      item.end = iconButton('close', '', () => this.#remove(item), { class: 'icon-button tray-end' });
      element.append(item.picture ?? h('span', { class: 'tray-picture' }, icon(file?.width ? 'image' : 'file')), h('span', { class: 'person' }, h('span', { class: 'file-name', dir: 'auto' }, name), item.line, item.bar), item.again, item.end);
    }
    element.classList.toggle('failed', Boolean(item.why));
    if (item.why) item.line.setAttribute('role', 'alert'); else item.line.removeAttribute('role');
    if (item.line.textContent !== state) item.line.textContent = state;
    item.bar.hidden = Boolean(file || item.why);
    if (upload?.state === 'looking') item.bar.removeAttribute('value'); else item.bar.value = done;
    item.again.hidden = !item.why || !helps(upload);
    const label = `${file || item.why ? 'Remove' : 'Cancel'} ${name}`;
    if (item.end.getAttribute('aria-label') !== label) { item.end.setAttribute('aria-label', label); item.end.title = label; }
  }

  #tell() {
    this.element.hidden = this.size === 0;
    const wanted = this.#items.map((item) => item.element);
    if (wanted.length !== this.element.children.length || wanted.some((element, index) => this.element.children[index] !== element)) {
      for (const child of [...this.element.children]) if (!wanted.includes(child)) child.remove();
      for (const element of wanted) if (element.parentElement !== this.element) this.element.append(element);
    }
    this.#changed();
  }
}

/** The files of a drop or a paste; empty for what is text as well (tables of office programs come as both). */
export function filesOf(data) {
  if (!data) return [];
  const files = [...data.files];
  const types = [...data.types];
  return types.includes('text/plain') && (types.includes('text/html') || types.includes('text/rtf')) ? [] : files;
}
