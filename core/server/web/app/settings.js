/** Settings: looks, notifications, sessions; and the list of keys. */

import { confirmDialog, formDialog, openDialog } from './dialogs.js';
import { h, icon, toast } from './dom.js';
import { count, dayLabel, explain, fullTime, listTime } from './format.js';
import { editProfile } from './people.js';
import { privacySection } from './privacy.js';
import { settings } from './storage.js';
import { prove, twoStep } from './twostep.js';

const KEYS = [
  ['Everywhere', [['Ctrl+K', 'Find a conversation'], ['Alt+↑ / Alt+↓', 'Previous or next conversation'], ['Alt+N', 'New conversation'], ['Alt+I', 'Details of the conversation'], ['Ctrl+,', 'Settings'], ['Ctrl+/', 'This list'], ['Escape', 'Close, cancel, or back to the message field']]],
  ['Writing', [['Enter', 'Send'], ['Shift+Enter', 'New line'], ['↑ in an empty field', 'Edit your last message']]],
  ['On a message (Tab goes there)', [['↑ / ↓', 'Previous or next message'], ['Enter', 'Menu'], ['R', 'Reply'], ['+', 'React'], ['E', 'Edit'], ['C', 'Copy'], ['Delete', 'Delete']]],
];

export function showShortcuts() {
  const mac = /Mac|iPhone|iPad/.test(navigator.platform);
  openDialog('Keyboard', h('div', { class: 'keys' }, KEYS.map(([title, keys]) => h('section', {}, h('h3', {}, title), h('dl', {}, keys.map(([key, what]) => [
    h('dt', {}, key.split(' / ').map((one, index) => [index > 0 && ' / ', one.includes(' ') ? one : one.split('+').filter(Boolean).length ? one.split(/(?<=.)\+/).map((part, at) => [at > 0 && ' ', h('kbd', {}, mac && part === 'Ctrl' ? '⌘' : part)]) : h('kbd', {}, one)])), h('dd', {}, what)]))))));
}

export function showSettings(chat, account) {
  const phone = h('span', { class: 'hint' });
  const profile = h('section', { class: 'profile' });
  const showProfile = () => {
    const me = account.session.user;
    const name = me.display_name || me.user_name;
    profile.replaceChildren(chat.faces.person(me.user, name, { size: 'big' }), h('div', {}, h('strong', { dir: 'auto' }, name), h('span', { class: 'hint' }, `@${me.user_name}`), phone,
      me.bio && h('p', { class: 'bio', dir: 'auto' }, me.bio), h('button', { type: 'button', class: 'link', onclick: () => editProfile(chat, showProfile) }, 'Edit your profile')));
  };
  showProfile();
  const sessions = h('ul', { class: 'sessions' }, h('li', { class: 'hint' }, 'Loading…'));
  const others = h('div', {});
  const theme = settings.get('theme') ?? 'system';
  const choice = (value, label) => h('label', { class: 'pill' }, h('input', { type: 'radio', name: 'theme', value, checked: value === theme, onchange: () => setTheme(value) }), h('span', {}, label));
  const notify = h('input', { type: 'checkbox', role: 'switch', checked: settings.get('notify') === 'on' && globalThis.Notification?.permission === 'granted', disabled: !globalThis.Notification,
    onchange: async () => {
      if (notify.checked && (await Notification.requestPermission()) !== 'granted') {
        notify.checked = false;
        toast('Your browser blocks notifications of this page. Allow them in its settings for this site.', { kind: 'error' });
      }
      settings.set('notify', notify.checked ? 'on' : undefined);
    } });
  const dialog = openDialog('Settings', h('div', { class: 'settings' },
    profile,
    h('section', {}, h('h3', { id: 'theme-title' }, 'Appearance'), h('div', { class: 'pills', role: 'radiogroup', 'aria-labelledby': 'theme-title' }, choice('system', 'System'), choice('light', 'Light'), choice('dark', 'Dark'))),
    h('section', {}, h('h3', {}, 'Notifications'), h('label', { class: 'switch' }, notify, h('span', {}, 'Show new messages while this page is in the background'))),
    privacySection(chat),
    twoStep(account, () => dialog.close(), () => showSettings(chat, account)),
    h('section', {}, h('h3', {}, 'Where you are signed in'), sessions, others),
    h('section', {}, h('h3', {}, 'Your data'), h('p', { class: 'hint' }, 'Your account, your rooms and the messages you wrote in them, as one JSON file.'), h('div', { class: 'actions' }, h('button', { type: 'button', class: 'secondary', onclick: () => { dialog.close(); takeOut(account); } }, icon('down'), 'Download my data'), h('button', { type: 'button', class: 'secondary danger', onclick: () => { dialog.close(); eraseAccount(account); } }, icon('trash'), 'Delete my account'))),
    h('section', { class: 'ends' }, h('button', { type: 'button', class: 'secondary', onclick: () => { dialog.close(); showShortcuts(); } }, 'Keyboard shortcuts'),
      h('button', { type: 'button', class: 'secondary danger', onclick: () => { dialog.close(); leave(); } }, icon('leave'), 'Sign out'))), { wide: true });

  const leave = () => {
    const waiting = chat.lynk.outbox.length;
    const out = async () => { await account.signOut(); };
    if (waiting) confirmDialog({ title: 'Sign out?', about: `${count(waiting, 'message')} you wrote ${waiting > 1 ? 'were' : 'was'} not sent yet and will be lost.`, label: 'Sign out', run: out });
    else confirmDialog({ title: 'Sign out?', about: 'Everything this browser keeps of your conversations is removed.', label: 'Sign out', run: out });
  };

  const load = async () => {
    try {
      const list = await account.sessions();
      list.sort((a, b) => Number(b.current) - Number(a.current) || b.last_used_at - a.last_used_at);
      sessions.replaceChildren(...list.map((session) => {
        const revoke = h('button', { type: 'button', class: 'link danger', 'aria-label': `Sign out ${session.device || 'unnamed device'}`, onclick: async () => {
          revoke.disabled = true;
          try { await account.revoke(session.session, () => prove(account)); await load(); } catch (error) { revoke.disabled = false; if (!error.quiet) toast(explain(error), { kind: 'error' }); }
        } }, 'Sign out');
        return h('li', {}, icon('device'), h('span', { class: 'person' }, h('span', {}, session.device || 'Unnamed device'),
          h('span', { class: 'hint', title: fullTime(session.created_at) }, session.current ? 'This browser' : `Signed in ${dayLabel(session.created_at)}, last used ${listTime(session.last_used_at)}`)), !session.current && revoke);
      }));
      others.replaceChildren(...(list.length > 1 ? [h('button', { type: 'button', class: 'secondary', onclick: async () => {
        try { const { revoked } = await account.revokeOthers(() => prove(account)); toast(`${count(revoked, 'session')} ended`); await load(); } catch (error) { if (!error.quiet) toast(explain(error), { kind: 'error' }); }
      } }, 'Sign out everywhere else')] : []));
    } catch (error) {
      sessions.replaceChildren(h('li', { class: 'error' }, icon('warning'), h('span', {}, explain(error)), h('button', { type: 'button', class: 'link', onclick: load }, 'Try again')));
    }
  };
  load();
  account.me().then(({ phone: number }) => {
    phone.textContent = number ?? '';
    // It may have changed on another device.
    chat.learn([account.session.user]);
    showProfile();
  }, () => {});
}

/** Everything that the server has of the account, into a file. */
async function takeOut(account) {
  const all = { format: 'lynk.export.v1', rooms: [], messages: [] };
  try {
    for await (const page of account.export(() => prove(account))) {
      if (page.account) Object.assign(all, { made_at: page.made_at, account: page.account });
      all.rooms.push(...page.rooms);
      all.messages.push(...page.messages);
    }
    const url = URL.createObjectURL(new Blob([JSON.stringify(all, null, 2)], { type: 'application/json' }));
    h('a', { href: url, download: 'lynk-export.json' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    toast(`Downloaded: ${count(all.rooms.length, 'room')}, ${count(all.messages.length, 'message')}`);
  } catch (error) {
    if (!error.quiet) toast(explain(error), { kind: 'error' });
  }
}

/** Asks twice, and shows what becomes of everything. */
function eraseAccount(account) {
  const { user_name: name } = account.session.user;
  formDialog({
    title: 'Delete your account?', label: 'Delete for good',
    about: `Your account and everything you wrote is removed, in every room, also for others. Nobody can bring it back. Enter your user name, ${name}, to go on.`,
    fields: [h('label', { for: 'erase-name' }, 'User name'), h('input', { id: 'erase-name', name: 'user', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', maxlength: '33', 'aria-describedby': 'dialog-error' })],
    submit: async ({ user }) => {
      if (user.trim().replace(/^@/, '').toLocaleLowerCase() !== name.toLocaleLowerCase()) throw new Error('That is not your user name.');
      return account.erase(name, () => prove(account));
    },
    done: (receipt) => {
      openDialog('Your account is deleted', h('div', {}, h('p', { class: 'about' }, 'This is where copies are, and until when. Keep it if you like.'),
        h('table', { class: 'receipt' }, h('tbody', {}, receipt.places.map(({ place, what, until }) => h('tr', {}, h('th', { scope: 'row' }, place, h('span', { class: 'hint' }, what)), h('td', {}, until ? fullTime(until) : 'stays')))))), { wide: true });
    },
  });
}

function setTheme(value) {
  if (value === 'system') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = value;
  settings.set('theme', value === 'system' ? undefined : value);
}
