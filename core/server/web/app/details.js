/** The side panel of a conversation: members, and what one may do with the room. */

import { eachFrame, h, icon, iconButton, reconcile, toast } from './dom.js';
import { askDay, askText, confirmDialog, editRoom } from './dialogs.js';
import { count, explain, fullTime, spanOf } from './format.js';
import { inviteByLink, requestsOf } from './invite.js';
import { openMenu } from './menu.js';
import { bansOf, moderationLog, mutesOf, reportsOf } from './moderation.js';
import { pinsOf } from './pins.js';
import { report } from './report.js';
import { openViewer } from './viewer.js';

const PAGE = 100;
/** Requests that are counted. */
const LOOK = 50;
const HOUR_MS = 3_600_000;
const MUTES = [['Mute for an hour', 3_600], ['Mute for a day', 86_400], ['Mute until it is lifted', undefined]];
const YEAR_MS = 365 * 24 * HOUR_MS;
const RANK = { owner: 0, admin: 1, moderator: 2, member: 3 };
const KINDS = { public: 'Everybody who knows the name can join.', invite_only: 'Members are added by invitation, or ask.', private: 'Hidden. Members are added by invitation.' };

export class Details {
  #chat;
  #window;
  #room;
  #members = [];
  #more;
  #list;
  #asked = 0;
  /** How many requests and reports are open; they stay the same elements while the panel is made anew. */
  #asks = h('span', { class: 'badge', hidden: true });
  #reports = h('span', { class: 'badge', hidden: true });
  opened = false;

  constructor(chat, window) {
    this.#chat = chat;
    this.#window = window;
    this.element = h('aside', { class: 'details', 'aria-label': 'Details', hidden: true });
    this.#list = h('ul', { class: 'people' });
    const later = eachFrame(() => this.#render());
    for (const name of ['users', 'presence', 'state']) chat.on(name, later);
    for (const name of ['request', 'report']) chat.on(name, ({ room }) => { if (this.opened && room === this.#room?.id) this.#look(); });
    let version;
    chat.on('room', (room) => {
      if (!this.opened || room !== this.#room) return;
      const now = `${room.members} ${room.role} ${room.name} ${room.kind} ${room.readOnly} ${room.slowMode} ${room.retentionDays} ${room.description} ${room.avatar}`;
      if (now !== version) { version = now; this.#load(); }
    });
  }

  show(id) {
    const room = id && this.#chat.rooms.get(id);
    if (room === this.#room) return;
    this.#room = room;
    if (this.opened && room) this.open(); else this.close();
  }

  toggle() { if (this.opened) this.close(); else { this.open(); this.element.querySelector('button')?.focus(); } }

  close() {
    const focused = this.element.contains(document.activeElement);
    this.opened = false;
    this.element.hidden = true;
    delete this.#window.shell?.dataset.details;
    if (focused) this.#window.conversation.focus();
  }

  open() {
    if (!this.#room) return;
    this.opened = true;
    this.element.hidden = false;
    this.#window.shell.dataset.details = '';
    this.#members = [];
    for (const badge of [this.#asks, this.#reports]) badge.hidden = true;
    this.#frame();
    this.#load();
    this.#look();
  }

  #frame() {
    const room = this.#room;
    const chat = this.#chat;
    const user = room.peer && chat.users.get(room.peer);
    this.element.replaceChildren(
      h('header', {}, h('h2', {}, room.direct ? 'Contact' : 'Room'), iconButton('close', 'Close details', () => this.close())),
      h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Details' },
        h('div', { class: 'face' }, this.#face(),
          h('strong', { dir: 'auto' }, chat.title(room)), h('span', { class: 'hint' }, room.direct ? user?.user_name && `@${user.user_name}` : KINDS[room.kind] ?? ''),
          !room.direct && room.description && h('p', { class: 'room-about', dir: 'auto' }, room.description),
          !room.direct && room.readOnly && h('span', { class: 'hint' }, 'Only moderators post here.'),
          !room.direct && room.slowMode > 0 && h('span', { class: 'hint' }, `Members write once in ${spanOf(room.slowMode)}.`),
          room.retentionDays > 0 && h('span', { class: 'hint' }, `Messages are removed after ${room.retentionDays === 1 ? 'a day' : `${room.retentionDays} days`}.`),
          user?.bio && h('p', { class: 'bio', dir: 'auto' }, user.bio)),
        h('div', { class: 'deeds' },
          this.#deed('clock', 'Go to a day', () => this.#day()),
          !room.direct && this.#deed('pin', 'Pinned messages', () => pinsOf(chat, room, (seq) => this.#window.conversation.goTo(seq))),
          this.#deed(room.quiet ? 'mute' : 'bell', this.#notified(), () => this.#notifications(), false, 'menu'),
          !room.direct && room.manages && this.#deed('plus', 'Add a person', () => this.#invite()),
          !room.direct && (room.role === 'owner' || room.role === 'admin') && this.#deed('edit', 'Edit the room', () => editRoom(chat, room, () => this.#frame())),
          !room.direct && room.manages && this.#deed('link', 'Invite by a link', () => inviteByLink(chat, room)),
          room.kind === 'invite_only' && room.manages && this.#deed('person', 'Requests to join', () => requestsOf(chat, room, () => this.#look()), false, undefined, this.#asks),
          !room.direct && room.manages && this.#deed('warning', 'Banned people', () => bansOf(chat, room)),
          !room.direct && room.manages && this.#deed('mute', 'Muted people', () => mutesOf(chat, room)),
          !room.direct && room.manages && this.#deed('flag', 'Reports', () => reportsOf(chat, room, { show: (seq) => this.#window.conversation.goTo(seq), changed: () => this.#look() }), false, undefined, this.#reports),
          !room.direct && room.manages && this.#deed('list', 'What moderators did', () => moderationLog(chat, room)),
          !room.direct && room.role !== 'owner' && this.#deed('flag', 'Report the room', () => report(chat, room, {}, 'the room'), true),
          !room.direct && this.#deed('leave', 'Leave the room', () => this.#leave(), true),
          !room.direct && room.role === 'owner' && this.#deed('trash', 'Delete the room', () => this.#delete(), true),
          room.direct && this.#deed('trash', 'Delete for me', () => this.#deleteForMe(), true),
          room.direct && this.#deed('flag', 'Report', () => report(chat, room, { user: room.peer }, chat.title(room)), true),
          room.direct && this.#deed('warning', 'Block', () => this.#block(), true)),
        !room.direct && [h('h3', { class: 'members-title' }, room.members ? count(room.members, 'member') : 'Members'), this.#list,
          this.#more && h('button', { type: 'button', class: 'secondary', onclick: () => this.#load(true) }, 'Show more')]));
    this.#render();
  }

  /** The picture; where there is one, a way to see it larger. */
  #face() {
    const room = this.#room;
    const { faces, files } = this.#chat;
    const face = faces.of(room, { size: 'big' });
    const id = faces.shown(room);
    if (!id) return face;
    const name = this.#chat.title(room);
    return h('button', { type: 'button', class: 'face-button', 'aria-label': `Show the picture of ${name}`, onclick: () => openViewer(files, [{ id, name }], 0) }, face);
  }

  #deed(name, label, onclick, danger, popup, badge) {
    return h('button', { type: 'button', class: danger ? 'deed danger' : 'deed', 'aria-haspopup': popup, 'data-deed': name, onclick }, icon(name), h('span', { class: 'deed-label' }, label), badge);
  }

  /** How many ask to come in, and how many reports are open, as far as one page tells. */
  async #look() {
    const room = this.#room;
    const { lynk } = this.#chat;
    if (!room || room.direct || !room.manages || !lynk.online) return;
    const tell = (badge, list, more) => {
      if (room !== this.#room) return;
      badge.hidden = list.length === 0;
      badge.replaceChildren(`${list.length}${more ? '+' : ''}`, h('span', { class: 'unseen' }, ' open'));
    };
    // What cannot be told now is told when the panel is opened again.
    await Promise.allSettled([room.kind === 'invite_only' && lynk.requests(room.id, { limit: LOOK }).then(({ requests, more }) => tell(this.#asks, requests, more)),
      lynk.reports(room.id).then(({ reports, more }) => tell(this.#reports, reports, more))]);
  }

  #notified() {
    const room = this.#room;
    if (room.quiet) return room.quietUntil - Date.now() > YEAR_MS ? 'Muted' : `Muted until ${fullTime(room.quietUntil)}`;
    return { true: 'Mentions only', false: 'All messages' }[room.mentionsOnly] ?? 'Notifications';
  }

  #notifications() {
    const room = this.#room;
    const set = (quietUntil, mentionsOnly) => async () => {
      try {
        await this.#chat.setNotifications(room.id, quietUntil, mentionsOnly);
        if (room === this.#room) this.#frame();
      } catch (error) { toast(explain(error), { kind: 'error' }); }
    };
    const mute = (label, millis) => ({ icon: 'mute', label, run: set(millis ? Date.now() + millis : Number.MAX_SAFE_INTEGER, room.mentionsOnly) });
    const anchor = this.element.querySelector('[data-deed="bell"], [data-deed="mute"]');
    openMenu(anchor, 'Notifications', [
      room.quiet && { icon: 'bell', label: 'Unmute', run: set(0, room.mentionsOnly) },
      mute('Mute for an hour', HOUR_MS), mute('Mute for a day', 24 * HOUR_MS), mute('Mute until I unmute it', 0),
      !room.direct && room.mentionsOnly !== true && { icon: 'check', label: 'Mentions only', run: set(room.quietUntil, true) },
      !room.direct && room.mentionsOnly !== false && { icon: 'check', label: 'All messages', run: set(room.quietUntil, false) },
      !room.direct && room.mentionsOnly !== undefined && { icon: 'check', label: 'As the server does by itself', run: set(room.quietUntil, undefined) },
    ]);
  }

  #deleteForMe() {
    const room = this.#room;
    confirmDialog({ title: `Delete the conversation with ${this.#chat.title(room)}?`, about: 'It is gone on all your devices. The other side keeps it. A new message brings the conversation back, without what was before.', label: 'Delete',
      run: () => this.#chat.deleteForMe(room.id) });
  }

  async #load(further = false) {
    const room = this.#room;
    if (!room || room.direct || !this.#chat.lynk.online) return;
    const asked = ++this.#asked;
    try {
      const page = await this.#chat.lynk.members(room.id, { limit: PAGE, ...(further && { after: this.#members.at(-1)?.user }) });
      if (asked !== this.#asked || room !== this.#room) return;
      const raised = page.more !== this.#more;
      this.#members = further ? this.#members.concat(page.members) : page.members;
      this.#more = page.more;
      room.members = page.count;
      this.#chat.learnReceipts(room, page.members);
      this.#chat.watch(this.#members.map((member) => member.user));
      if (raised || !further) this.#frame(); else this.#render();
    } catch (error) {
      if (error.code !== 'disconnected') toast(explain(error), { kind: 'error' });
    }
  }

  #render() {
    if (!this.opened || !this.#room || this.#room.direct) return;
    const chat = this.#chat;
    const here = new Set(chat.here.get(this.#room.id)?.users ?? []);
    const members = this.#members.map((member) => ({ ...member, name: chat.name(member.user), tag: chat.users.get(member.user)?.user_name, face: chat.faces.ofPerson(member.user), online: member.user === chat.me ? chat.lynk.online : Boolean(chat.online.get(member.user) ?? here.has(member.user)) }))
      .sort((a, b) => RANK[a.role] - RANK[b.role] || a.name.localeCompare(b.name));
    reconcile(this.#list, members.map((member) => ({ key: member.user, sign: JSON.stringify(member), make: () => this.#member(member) })));
  }

  #member(member) {
    const me = member.user === this.#chat.me;
    const inside = [this.#chat.faces.person(member.user, member.name, { size: 'small', online: member.online }),
      h('span', { class: 'person' }, h('span', { dir: 'auto' }, member.name, me && ' (you)'), h('span', { class: 'hint' }, member.tag && `@${member.tag}`, member.online && h('span', { class: 'unseen' }, ', online'))),
      member.role !== 'member' && h('span', { class: 'role' }, member.role)];
    if (me) return h('li', { class: 'still' }, inside);
    const button = h('button', { type: 'button', 'aria-haspopup': 'menu', onclick: () => this.#menu(button, member) }, inside);
    return h('li', {}, button);
  }

  #menu(button, member) {
    const room = this.#room;
    const chat = this.#chat;
    const over = room.manages && RANK[room.role] < RANK[member.role];
    const run = (op, fields, said) => async () => {
      try {
        await chat.lynk.request(op, { room: room.id, user: member.user, ...fields });
        if (said) toast(said);
        this.#load();
      } catch (error) { toast(explain(error), { kind: 'error' }); }
    };
    openMenu(button, member.name, [
      { icon: 'reply', label: 'Message', run: async () => { try { this.#window.go((await chat.direct(member.user)).id); } catch (error) { toast(explain(error), { kind: 'error' }); } } },
      room.role === 'owner' && member.role !== 'admin' && { icon: 'check', label: 'Make an admin', run: run('role', { role: 'admin' }) },
      over && member.role === 'member' && room.role !== 'moderator' && { icon: 'check', label: 'Make a moderator', run: run('role', { role: 'moderator' }) },
      over && member.role !== 'member' && room.role !== 'moderator' && { icon: 'person', label: 'Make a member', run: run('role', { role: 'member' }) },
      room.role === 'owner' && { icon: 'enter', label: 'Hand the room over', run: () => confirmDialog({ title: `Hand the room over to ${member.name}?`, about: 'It is theirs from then on, and you stay an admin. Only they can give it back.', label: 'Hand over', run: run('transfer', {}, `${member.name} owns the room now`) }) },
      { icon: 'flag', label: 'Report', run: () => report(chat, room, { user: member.user }, member.name) },
      over && { icon: 'mute', label: 'Mute', run: () => openMenu(button, `Mute ${member.name}`, MUTES.map(([label, seconds]) => ({ icon: 'mute', label, run: run('mute', { ...(seconds && { seconds }) }, `${member.name} may not write for now`) }))) },
      over && { icon: 'leave', label: 'Remove from the room', danger: true, run: () => confirmDialog({ title: `Remove ${member.name}?`, about: 'They can come back unless you ban them.', label: 'Remove', run: run('kick', {}, `${member.name} was removed`) }) },
      over && { icon: 'warning', label: 'Ban', danger: true, run: () => confirmDialog({ title: `Ban ${member.name}?`, about: 'They are removed and cannot come back.', label: 'Ban', run: run('ban', {}, `${member.name} is banned`) }) },
    ]);
  }

  #day() {
    const room = this.#room;
    askDay({ title: 'Go to a day', about: 'Shows the first message of that day, or the next one after it.', label: 'Day', button: 'Go',
      submit: (millis) => this.#chat.messageAt(room.id, millis),
      done: (seq) => { if (seq && room === this.#room) this.#window.conversation.goTo(seq); } });
  }

  #invite() {
    const room = this.#room;
    askText({ title: 'Add a person', about: 'Enter the user name of whom you want to add.', name: 'user', label: 'User name', button: 'Add',
      submit: async (name) => {
        const user = await this.#chat.account.userByName(name.replace(/^@/, ''));
        await this.#chat.lynk.request('invite', { room: room.id, user: user.user });
        return user;
      },
      done: (user) => { toast(`${user.display_name || user.user_name} was added`); this.#load(); } });
  }

  #delete() {
    const room = this.#room;
    confirmDialog({ title: `Delete ${this.#chat.title(room)}?`, about: 'Everybody loses it with all that was said in it. This cannot be undone.', label: 'Delete', run: () => this.#chat.deleteRoom(room.id) });
  }

  #leave() {
    const room = this.#room;
    confirmDialog({ title: `Leave ${this.#chat.title(room)}?`, about: room.kind === 'public' ? 'You can join again by its name.' : 'Somebody must add you to come back.', label: 'Leave', run: () => this.#chat.leave(room.id) });
  }

  #block() {
    const room = this.#room;
    const name = this.#chat.title(room);
    confirmDialog({ title: `Block ${name}?`, about: 'Neither of you can write to the other, nor add the other to a room.', label: 'Block', run: async () => {
      await this.#chat.block(room);
      toast(`${name} is blocked`, { stay: 10_000, action: { label: 'Undo', run: () => this.#chat.lynk.request('unblock', { user: room.peer }).catch((error) => toast(explain(error), { kind: 'error' })) } });
    } });
  }
}
