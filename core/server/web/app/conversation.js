/** The open conversation: who is there, the messages, the field to write in. */

import { filesOf, Tray } from './attach.js';
import { $, h, icon, iconButton, toast } from './dom.js';
import { chooseEmoji } from './emoji.js';
import { briefOf, count, explain, listOf } from './format.js';
import { ALL, Completer } from './mentions.js';
import { answerBar, left, waitLine } from './requests.js';
import { settings } from './storage.js';
import { Timeline } from './timeline.js';

const HERE_EVERY_MS = 15_000;
/** Pages of 500 loaded at most to reach a day. */
const FAR_PAGES = 20;

export class Conversation {
  #chat;
  #window;
  #room;
  #timeline;
  #head;
  #field;
  #above;
  #send;
  #counter;
  #completer;
  #typing;
  #reply;
  #editing;
  #kept;
  #clock;
  #attach;
  #smile;
  #tray = h('div', {});
  /** What stands between the messages and the field of a conversation that waits to be accepted. */
  #request = h('div', { class: 'request' });
  /** Files that wait to be sent, by room. */
  #trays = new Map();

  constructor(chat, window) {
    this.#chat = chat;
    this.#window = window;
    this.#timeline = new Timeline(chat, {
      reply: (message) => this.#replyTo(message), edit: (message) => this.#edit(message), reveal: (seq) => this.#timeline.reveal(seq),
      compose: (text, files) => { if (text) this.#fill(text); this.#files()?.restore(files); this.focus(); }, unread: (message) => this.#unread(message),
    });
    this.#head = h('header', {});
    this.#above = h('div', { class: 'above' });
    this.#counter = h('span', { class: 'counter', role: 'status' });
    this.#typing = h('div', { class: 'typing-line' });
    this.#field = h('textarea', { id: 'composer', rows: '1', 'aria-label': 'Message', dir: 'auto', enterkeyhint: matchMedia('(pointer: coarse)').matches ? 'enter' : 'send',
      oninput: () => this.#typed(), onkeydown: (event) => this.#key(event),
      onpaste: (event) => { const files = filesOf(event.clipboardData); if (files.length) { event.preventDefault(); this.#add(files); } }, onblur: () => this.#room && this.#chat.typing(this.#room.id, false) });
    this.#completer = new Completer(this.#field, chat.faces, () => this.#people(), () => this.#typed());
    this.#send = iconButton('send', 'Send', () => this.#submit(), { class: 'icon-button send' });
    this.#send.addEventListener('pointerdown', (event) => event.preventDefault());
    this.#smile = iconButton('smile', 'Emoji', () => this.#emoji());
    const choose = h('input', { type: 'file', multiple: true, hidden: true, tabindex: '-1', 'aria-hidden': 'true', onchange: () => { this.#add(choose.files); choose.value = ''; } });
    this.#attach = iconButton('clip', 'Attach files', () => choose.click());
    this.form = h('form', { class: 'composer', onsubmit: (event) => { event.preventDefault(); this.#submit(); } }, this.#above,
      this.#tray, h('div', { class: 'compose-line' }, this.#smile, this.#attach, choose, h('div', { class: 'field' }, this.#field, this.#counter), this.#send), this.#completer.element);
    this.#kept = [this.#head, this.#timeline.element, this.#typing, this.#request, this.form];
    this.element = h('main', { class: 'conversation', 'aria-label': 'Conversation' });
    this.#drops();
    chat.on('removed', (id) => { this.#trays.get(id)?.end(); this.#trays.delete(id); });
    chat.on('room', (room) => { if (room && room === this.#room) this.#heading(); });
    for (const name of ['users', 'presence', 'typing', 'state']) chat.on(name, () => this.#heading());
    // Names that come after the first letters of one.
    chat.on('users', () => { if (document.activeElement === this.#field && !this.#completer.open) this.#completer.update(); });
    chat.on('message', ({ room, message }) => { if (room === this.#room && !document.hasFocus()) this.#timeline.missed(message); });
    this.#clock = setInterval(() => { if (this.#room && !this.#room.direct && !document.hidden) this.#chat.lookHere(this.#room.id); }, HERE_EVERY_MS);
    this.show();
  }

  show(id) {
    const room = id && this.#chat.rooms.get(id);
    if (room && room === this.#room) return;
    if (this.#room) this.#keepDraft();
    this.#room = room;
    this.#reply = this.#editing = undefined;
    this.#timeline.show(room);
    if (!room) {
      this.element.replaceChildren(h('div', { class: 'empty' }, h('img', { src: '/assets/icon.svg', alt: '', width: '72', height: '72' }), h('h1', {}, 'Lynk'), h('p', {}, 'Choose a conversation, or start one.'),
        h('p', { class: 'hint' }, h('kbd', {}, 'Ctrl'), ' ', h('kbd', {}, 'K'), ' finds one · ', h('kbd', {}, 'Ctrl'), ' ', h('kbd', {}, '/'), ' lists the keys')));
      return;
    }
    this.element.replaceChildren(...this.#kept);
    this.#heading();
    this.#fill(settings.get(`draft.${this.#chat.me}.${id}`) ?? '');
    this.#aboveField();
    const files = this.#trays.get(id);
    this.#tray.replaceChildren(...(files ? [files.element] : []));
    this.form.classList.toggle('with-files', Boolean(files?.size));
    this.#grown();
    if (!room.direct) { this.#chat.lookHere(id); this.#chat.lookAbout(id); }
    this.#chat.learnPositions(id);
    if (matchMedia('(pointer: fine)').matches) this.focus();
    this.#timeline.render();
  }

  end() {
    clearInterval(this.#clock);
    for (const tray of this.#trays.values()) tray.end();
  }

  focus() { (this.form.hidden ? this.#request.firstChild : this.#field)?.focus({ preventScroll: true }); }
  seen() { this.#timeline.seen(); }

  async goTo(seq) {
    if (!(await this.#timeline.reveal(seq, FAR_PAGES))) toast('That is too far back to be shown here. Try a later day.', { kind: 'error' });
  }

  // ---- who is there ----

  #heading() {
    const room = this.#room;
    if (!room) return;
    const chat = this.#chat;
    const title = chat.title(room);
    const typing = chat.typingIn(room).map((user) => chat.name(user));
    const here = chat.here.get(room.id)?.count;
    let about = '';
    if (room.direct) {
      const user = chat.users.get(room.peer);
      about = chat.lynk?.online && chat.online.get(room.peer) ? 'online' : user?.user_name ? `@${user.user_name}` : '';
    } else if (room.members) about = count(room.members, 'member') + (here > 1 && chat.lynk?.online ? `, ${here} online` : '');
    const sign = JSON.stringify([room.id, title, about, typing.length > 0, room.kind, chat.faces.shown(room)]);
    if (sign !== this.#head.sign) {
      this.#head.sign = sign;
      const details = h('button', { type: 'button', class: 'heading', 'aria-haspopup': 'true', title: 'Details', onclick: () => this.#window.details.toggle() },
        chat.faces.of(room, { online: about === 'online' }),
        h('span', { class: 'heading-text' }, h('span', { class: 'heading-title', dir: 'auto' }, room.kind === 'private' && icon('lock', 'small'), title), h('span', { class: about === 'online' ? 'about online' : 'about' }, about)));
      this.#head.replaceChildren(iconButton('back', 'Back to the list', () => this.#window.go(), { class: 'icon-button back' }), h('h1', { class: 'unseen' }, title), details,
        iconButton(room.direct ? 'info' : 'people', room.direct ? 'Details' : 'Members', () => this.#window.details.toggle()));
      this.element.setAttribute('aria-label', `Conversation: ${title}`);
    }
    this.#waits(room, title);
    const muted = room.mutedUntil > Date.now();
    const spent = room.request === 'sent' && left(chat, room) === 0 && !this.#editing;
    this.#field.disabled = muted || !room.mayPost || spent;
    this.#attach.disabled = this.#field.disabled || Boolean(room.request);
    this.#field.placeholder = spent ? `${title} has to accept first` : muted ? 'You may not post here for now' : room.mayPost ? `Message ${title}` : 'Only moderators post here';
    const line = typing.length ? `${listOf(typing)} ${typing.length > 1 ? 'are' : 'is'} typing` : '';
    if (line !== this.#typing.dataset.line) {
      this.#typing.dataset.line = line;
      this.#typing.replaceChildren(...(line ? [h('span', { class: 'dots', 'aria-hidden': 'true' }, h('i'), h('i'), h('i')), h('span', {}, line)] : []));
    }
  }

  /** A conversation that one side has to accept: the answers for one, how it stands for the other. */
  #waits(room, title) {
    const { request } = room;
    const sign = request ? JSON.stringify([room.id, request, title, request === 'sent' && left(this.#chat, room)]) : '';
    if (sign === this.#request.dataset.sign) return;
    const had = this.#request.contains(document.activeElement);
    this.#request.dataset.sign = sign;
    this.form.hidden = request === 'received';
    this.#request.replaceChildren(...(request ? [request === 'received' ? answerBar(this.#chat, room) : waitLine(this.#chat, room)] : []));
    if (had) this.focus();
  }

  // ---- writing ----

  #limit() { return this.#chat.lynk?.hello?.limits?.message_chars ?? 8_000; }

  #fill(text) {
    this.#field.value = text;
    this.#grown();
  }

  #grown() {
    const field = this.#field;
    field.style.height = 'auto';
    field.style.height = `${Math.min(field.scrollHeight, Math.round(innerHeight * 0.4))}px`;
    const length = [...field.value].length;
    const limit = this.#limit();
    this.#counter.textContent = length > limit ? `${(length - limit).toLocaleString()} too many` : length > limit * 0.9 ? (limit - length).toLocaleString() : '';
    this.#counter.classList.toggle('over', length > limit);
    const files = this.#room && this.#trays.get(this.#room.id);
    const bare = this.#editing ? !this.#editing.attachments?.length : !files?.ready;
    this.#send.disabled = (field.value.trim() === '' && bare) || length > limit || Boolean(!this.#editing && files?.waits);
    this.#send.setAttribute('aria-label', this.#editing ? 'Save' : 'Send');
    this.#send.title = !this.#editing && files?.waits ? 'Waits for the files' : this.#editing ? 'Save' : 'Send';
  }

  #typed() {
    this.#grown();
    this.#completer.update();
    this.#keepDraft();
    if (!this.#editing) this.#chat.typing(this.#room.id, this.#field.value.trim() !== '');
  }

  #people() {
    const people = this.#chat.peopleOf(this.#room);
    return this.#room.manages ? [...people, { tag: ALL, name: 'Everybody in this room' }] : people;
  }

  #keepDraft() {
    if (!this.#editing) settings.set(`draft.${this.#chat.me}.${this.#room.id}`, this.#field.value.trim() ? this.#field.value : undefined);
  }

  #key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (this.#completer.key(event)) return;
    const plain = !event.shiftKey && !event.altKey && !event.ctrlKey && !event.metaKey;
    if (event.key === 'Enter' && (plain || event.ctrlKey || event.metaKey)) {
      // On a touch keyboard Enter is a new line: there is a button for sending.
      if (plain && matchMedia('(pointer: coarse)').matches) return;
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'ArrowUp' && plain && this.#field.value === '') {
      const own = this.#room.order.map((seq) => this.#room.items.get(seq)).findLast((item) => item.ev === 'message' && item.from === this.#chat.me && !item.deleted);
      if (own && !this.#room.request) { event.preventDefault(); this.#edit(own); }
    }
  }

  #submit() {
    const room = this.#room;
    const text = this.#field.value.trim();
    const tray = this.#trays.get(room?.id);
    if (!room || [...text].length > this.#limit()) return;
    if (!this.#editing && tray?.waits) { toast('Wait until the files are there, or remove those that are not.'); return; }
    if (!text && !(this.#editing ? this.#editing.attachments?.length : tray?.ready)) return;
    try {
      if (this.#editing) {
        if (text !== (this.#editing.text ?? '')) this.#chat.edit(room.id, this.#editing.seq, text);
        this.cancel();
      } else {
        this.#chat.send(room.id, text, this.#reply?.seq, tray?.take());
        this.#reply = undefined;
        this.#fill('');
        this.#keepDraft();
        this.#aboveField();
        this.#timeline.clearDivider();
        this.#timeline.toEnd();
      }
    } catch (error) {
      toast(explain(error), { kind: 'error' });
    }
    this.focus();
  }

  /** The files of the open room; none where one may not write. */
  #files() {
    const room = this.#room;
    if (!room || this.#attach.disabled) return undefined;
    if (!this.#trays.has(room.id)) {
      const tray = new Tray(this.#chat, room.id, () => {
        if (room !== this.#room) return;
        this.form.classList.toggle('with-files', tray.size > 0);
        this.#grown();
      });
      this.#trays.set(room.id, tray);
    }
    const tray = this.#trays.get(room.id);
    if (tray.element.parentElement !== this.#tray) this.#tray.replaceChildren(tray.element);
    return tray;
  }

  #add(files) {
    if (!files.length) return;
    if (this.#room?.request) { toast('Files can be sent when the conversation is accepted.', { kind: 'error' }); return; }
    if (this.#editing) { toast('Finish the edit first: files go with a new message.', { kind: 'error' }); return; }
    const tray = this.#files();
    if (!tray) return;
    tray.add(files);
    this.focus();
  }

  /** Files are dropped anywhere on the conversation. */
  #drops() {
    const over = h('div', { class: 'drop', 'aria-hidden': 'true', hidden: true }, icon('clip'), h('span', {}, 'Drop the files to attach them'));
    const carries = (event) => this.#room && !this.#field.disabled && [...event.dataTransfer?.types ?? []].includes('Files');
    let depth = 0;
    const shown = (on) => { if (!on) depth = 0; over.hidden = !on; };
    this.#kept.push(over);
    const listen = (name, action) => this.element.addEventListener(name, (event) => { if (carries(event)) { event.preventDefault(); action(event); } });
    listen('dragenter', () => { depth++; shown(true); });
    listen('dragleave', () => { if (--depth <= 0) shown(false); });
    listen('dragover', (event) => { event.dataTransfer.dropEffect = 'copy'; });
    listen('drop', (event) => { shown(false); this.#add([...event.dataTransfer.files]); });
  }

  async #emoji() {
    const field = this.#field;
    const { selectionStart, selectionEnd } = field;
    const emoji = await chooseEmoji('Choose an emoji', this.#smile);
    field.focus();
    if (!emoji) return;
    field.setRangeText(emoji, selectionStart, selectionEnd, 'end');
    this.#typed();
  }

  #replyTo(message) {
    this.#stopEditing();
    this.#reply = message;
    this.#aboveField();
    this.focus();
  }

  #edit(message) {
    if (!this.#editing) this.#keepDraft();
    this.#reply = undefined;
    this.#editing = message;
    this.#fill(message.text ?? '');
    this.#aboveField();
    this.focus();
    this.#field.setSelectionRange(this.#field.value.length, this.#field.value.length);
    this.#grown();
  }

  #stopEditing() {
    if (!this.#editing) return;
    this.#editing = undefined;
    this.#fill(settings.get(`draft.${this.#chat.me}.${this.#room.id}`) ?? '');
  }

  /** Leaves a reply or an edit. Returns whether there was one. */
  cancel() {
    if (!this.#reply && !this.#editing) return false;
    this.#reply = undefined;
    this.#stopEditing();
    this.#aboveField();
    this.focus();
    return true;
  }

  #aboveField() {
    const about = this.#editing ?? this.#reply;
    this.#above.replaceChildren(...(about ? [
      icon(this.#editing ? 'edit' : 'reply'),
      h('span', { class: 'above-text' }, h('strong', {}, this.#editing ? 'Edit message' : `Reply to ${about.from === this.#chat.me ? 'yourself' : this.#chat.name(about.from)}`), h('span', { dir: 'auto' }, briefOf(about))),
      iconButton('close', this.#editing ? 'Do not edit' : 'Do not reply', () => this.cancel()),
    ] : []));
    this.form.classList.toggle('with-above', Boolean(about));
  }

  async #unread(message) {
    const room = this.#room;
    try {
      await this.#chat.markUnread(room.id, message.seq);
      this.#window.go();
      $('.rooms a')?.focus();
    } catch (error) {
      toast(explain(error), { kind: 'error' });
    }
  }
}
