/** How one is found and seen, and whom one blocks. */

import { openDialog } from './dialogs.js';
import { h, icon, toast } from './dom.js';
import { explain } from './format.js';

/** Switches, each with what it sets of `/v1/me/privacy`. */
const SWITCHES = [
  { label: 'People find me by my name', hint: 'Who knows your whole user name finds you in any case.', get: (all) => all.discoverable_by_name, set: (on) => ({ discoverable_by_name: on }) },
  { label: 'People find me by my phone number', hint: 'Whoever has your number can write to you. They still do not see it here.', get: (all) => all.discoverable_by_phone, set: (on) => ({ discoverable_by_phone: on }) },
  { label: 'Show when I am online', hint: 'To people who share a room with you.', get: (all) => all.presence === 'rooms', set: (on) => ({ presence: on ? 'rooms' : 'nobody' }) },
];

/** Who may start a conversation, as `direct_from` has it. */
const DIRECT_FROM = [['everyone', 'Everyone'], ['rooms', 'People in my rooms'], ['nobody', 'Nobody']];

/** The section of the settings. */
export function privacySection(chat) {
  const { account } = chat;
  const body = h('div', { class: 'switches' }, h('p', { class: 'hint' }, 'Loading…'));
  const show = (all) => {
    body.replaceChildren(...SWITCHES.map(({ label, hint, get, set }, index) => {
      const box = h('input', { type: 'checkbox', role: 'switch', checked: get(all), 'aria-describedby': `privacy-hint-${index}`, onchange: async () => {
        box.disabled = true;
        try { all = await account.authorised('PUT', '/me/privacy', set(box.checked)); } catch (error) { toast(explain(error), { kind: 'error' }); }
        box.checked = get(all);
        box.disabled = false;
      } });
      return h('div', {}, h('label', { class: 'switch' }, box, h('span', {}, label)), h('p', { class: 'hint', id: `privacy-hint-${index}` }, hint));
    }), directFrom(all));
  };
  const directFrom = ({ direct_from: kept }) => {
    const choice = h('select', { 'aria-describedby': 'privacy-hint-direct', onchange: async () => {
      choice.disabled = true;
      try { kept = (await account.authorised('PUT', '/me/privacy', { direct_from: choice.value })).direct_from; } catch (error) { toast(explain(error), { kind: 'error' }); }
      choice.value = kept;
      choice.disabled = false;
    } }, ...DIRECT_FROM.map(([value, label]) => h('option', { value }, label)));
    choice.value = kept;
    return h('div', {}, h('label', {}, h('span', {}, 'Who can start a conversation with me'), choice), h('p', { class: 'hint', id: 'privacy-hint-direct' }, 'Conversations that you have stay as they are. Those of people who share no room with you wait until you accept them. Unless it is everyone, such people do not add you to rooms either.'));
  };
  const load = () => account.authorised('GET', '/me/privacy').then(show, (error) => body.replaceChildren(
    h('p', { class: 'error' }, icon('warning'), h('span', {}, explain(error)), h('button', { type: 'button', class: 'link', onclick: load }, 'Try again'))));
  load();
  return h('section', {}, h('h3', {}, 'Privacy'), body, h('button', { type: 'button', class: 'secondary', onclick: () => showBlocks(chat) }, 'People you block'));
}

/** Whom one blocks, and taking it back. */
export function showBlocks(chat) {
  const { account } = chat;
  const list = h('ul', { class: 'people' });
  const said = h('p', { class: 'hint', role: 'status' }, 'Loading…');
  const more = h('div', {});
  const row = (user) => {
    const name = user.display_name || user.user_name || 'A deleted account';
    const button = h('button', { type: 'button', class: 'link', 'aria-label': `Unblock ${name}`, onclick: async () => {
      button.disabled = true;
      try {
        await chat.lynk.request('unblock', { user: user.user });
        item.remove();
        if (!list.firstElementChild) said.textContent = 'You block nobody.';
        toast(`${name} is no longer blocked`);
      } catch (error) {
        button.disabled = false;
        toast(explain(error), { kind: 'error' });
      }
    } }, 'Unblock');
    const item = h('li', {}, chat.faces.person(user.user, name, { size: 'small' }), h('span', { class: 'person' }, h('span', { dir: 'auto' }, name), h('span', { class: 'hint' }, user.user_name && `@${user.user_name}`)), button);
    return item;
  };
  const load = async (after) => {
    try {
      const { users, next } = await account.authorised('GET', `/blocks${after ? `?after=${after}` : ''}`);
      list.append(...users.map(row));
      said.textContent = list.firstElementChild ? '' : 'You block nobody.';
      more.replaceChildren(...(next ? [h('button', { type: 'button', class: 'secondary', onclick: () => load(next) }, 'Show more')] : []));
    } catch (error) {
      said.textContent = explain(error);
    }
  };
  openDialog('People you block', h('div', {}, h('p', { class: 'about' }, 'Neither of you can write to the other, see the other’s profile, or add the other to a room.'), said, list, more));
  load();
}
