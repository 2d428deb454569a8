/** Two-step sign-in: turning an authenticator app on and off, its recovery codes, and proving again who one is. */

import { confirmDialog, formDialog, openDialog } from './dialogs.js';
import { h, icon, toast } from './dom.js';
import { count, explain, fullTime } from './format.js';

const SVG = 'http://www.w3.org/2000/svg';
const say = (message) => { throw new Error(message); };

/** The section of the settings. `leave` closes them before a dialog opens, `back` shows them again. */
export function twoStep(account, leave, back) {
  const body = h('div', { class: 'two-step' }, h('p', { class: 'hint' }, 'Loading…'));
  const button = (label, action, kind = 'secondary') => h('button', { type: 'button', class: kind, onclick: () => { leave(); action(account, back); } }, label);
  const load = async () => {
    try {
      const state = await account.totp();
      const left = state.recovery_codes_left;
      body.replaceChildren(...(state.enabled
        ? [h('p', { class: 'hint' }, icon('lock'), ` On since ${fullTime(state.enabled_at)}. Signing in asks for a code of your app.`),
          h('p', { class: left > 2 ? 'hint' : 'hint warn' }, left ? `${count(left, 'recovery code')} left.` : 'No recovery codes left: make new ones, or a lost phone locks you out.'),
          state.required && h('p', { class: 'hint' }, 'This server asks everybody for it.'),
          h('div', { class: 'actions' }, button('New recovery codes', newCodes), button('Use another app', anotherApp), !state.required && button('Turn off', turnOff, 'secondary danger'))].filter(Boolean)
        : [h('p', { class: 'hint' }, 'Signing in asks for a code of an authenticator app as well, so that who has your phone number alone cannot be you.'), button('Turn on', turnOn)]));
    } catch (error) {
      body.replaceChildren(h('p', { class: 'error' }, icon('warning'), h('span', {}, explain(error)), h('button', { type: 'button', class: 'link', onclick: load }, 'Try again')));
    }
  };
  load();
  return h('section', {}, h('h3', {}, 'Two-step sign-in'), body);
}

const digits = (id, label, props = {}) => [h('label', { for: id }, label), h('input', { id, name: 'code', class: 'code', inputmode: 'numeric', autocomplete: 'one-time-code', maxlength: '7', 'aria-describedby': 'dialog-error', ...props })];

/** Whether a text may be a recovery code: of 24 characters, or of ten as they were made before. */
export const isRecovery = (text) => /^(?:[a-z2-7]{10}|[a-z2-7]{24})$/i.test(text.replace(/[ -]/g, ''));

/** `{code}` or `{recovery_code}` of what was typed. */
function shownOf(typed) {
  const text = typed.trim();
  if (/^\d{3} ?\d{3}$/.test(text)) return { code: text.replace(' ', '') };
  if (isRecovery(text)) return { recovery_code: text };
  return say('Enter the six digits of the app, or a whole recovery code.');
}

/** Asks for a proof; resolves with a token, rejects when it is called off. */
export function prove(account) {
  return new Promise((resolve, reject) => {
    let proof;
    const options = (about, fields, submit) => formDialog({
      title: 'Is it you?', about, label: 'Continue', fields, submit,
      done: (token) => { proof = token; },
      onclose: () => { if (proof) resolve(proof); else reject(Object.assign(new Error('called off'), { quiet: true })); },
    });
    (async () => {
      const { enabled } = await account.totp();
      if (enabled) {
        options('Before this change, enter the code of your authenticator app, or a recovery code.',
          [h('label', { for: 'proof-code' }, 'Code'), h('input', { id: 'proof-code', name: 'code', class: 'code', autocomplete: 'one-time-code', autocapitalize: 'none', spellcheck: 'false', maxlength: '48', 'aria-describedby': 'dialog-error' })],
          ({ code }) => account.stepUp(shownOf(code)));
        return;
      }
      const { request_id } = await account.stepUpCode();
      options('Before this change, enter the code that is on its way to your phone by SMS.', digits('proof-code', 'Six-digit code'),
        ({ code }) => (/^\d{6}$/.test(code.trim()) ? account.stepUp({ request_id, code: code.trim() }) : say('The code has six digits.')));
    })().catch(reject);
  });
}

const failed = (error) => { if (!error.quiet) toast(explain(error), { kind: 'error' }); };

/** The picture of a code, built from the one path that the server draws. */
function picture(document) {
  const svg = globalThis.document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', /viewBox="([\d ]+)"/.exec(document)?.[1] ?? '0 0 1 1');
  svg.setAttribute('class', 'qr');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', 'QR code for your authenticator app');
  svg.setAttribute('shape-rendering', 'crispEdges');
  const path = globalThis.document.createElementNS(SVG, 'path');
  path.setAttribute('d', / d="([MhvHVz\d .-]+)"/.exec(document)?.[1] ?? '');
  svg.append(path);
  return svg;
}

/** What an app needs of a secret, and where its first code is entered. */
function secretOf(begun, error) {
  return [picture(begun.qr_svg),
    h('details', {}, h('summary', {}, 'The app cannot scan?'),
      h('p', { class: 'hint' }, 'Enter this key in the app (time-based, 6 digits), or ', h('a', { href: begun.uri }, 'open an app on this device'), '.'),
      h('code', { class: 'secret' }, begun.secret.match(/.{1,4}/g).join(' '))),
    ...digits('totp-code', 'Six-digit code of the app', { 'aria-describedby': error })];
}

const firstCode = (account, code, replacing) => (/^\d{3} ?\d{3}$/.test(code.trim()) ? account.confirmTotp(code.replace(/\D/g, ''), replacing) : say('The code has six digits.'));

/**
 * The screen of somebody who has no app, on a server that demands one: it is all that is open. `done` is called when the session is open, also when
 * the app was turned on elsewhere.
 */
export function showEnrolment(root, account, done) {
  const card = h('div', { class: 'card' });
  root.replaceChildren(h('main', { class: 'signin' },
    h('div', { class: 'brand' }, h('img', { src: '/assets/icon.svg', alt: '', width: '56', height: '56' }), h('span', {}, 'Lynk')),
    card, h('p', { class: 'fine' }, `You are signed in as @${account.session.user.user_name}. `, h('button', { type: 'button', class: 'link', onclick: () => account.signOut() }, 'Sign out'))));
  const error = h('p', { class: 'error', id: 'form-error', role: 'alert' });
  const tell = (failure) => error.replaceChildren(icon('warning'), h('span', {}, explain(failure)));
  const show = (form) => {
    card.replaceChildren(form);
    (form.querySelector('input') ?? form.querySelector('h1')).focus();
  };
  const head = (about) => [h('h1', { tabindex: '-1' }, 'Set up two-step sign-in'), h('p', { class: 'about' }, about)];
  const WHY = 'This server asks everybody for a second step when they sign in: a code of an authenticator app on your phone.';
  /** Says why, and begins when it is wanted: a secret that is made voids the one before, also that of another tab. */
  const explainWhy = async (failure) => {
    card.replaceChildren(h('p', { class: 'hint', role: 'status' }, 'Loading…'));
    const button = h('button', { type: 'submit', class: 'primary' }, 'Set it up');
    try {
      // It may have been turned on in another tab, or on another device, or it is not demanded any more.
      const { enabled, required } = await account.totp();
      if (enabled || !required) {
        await account.token({ force: true });
        if (!account.session?.second_factor_required) { done(); return; }
      }
    } catch (unknown) { failure ??= unknown; }
    if (!account.session) return;
    show(h('form', { onsubmit: async (event) => {
      event.preventDefault();
      if (button.disabled) return;
      button.disabled = true;
      error.replaceChildren();
      try { ask(await account.beginTotp(() => prove(account))); } catch (refused) {
        if (refused.code === 'conflict') { explainWhy(); return; }
        if (!refused.quiet) tell(refused);
        button.disabled = false;
      }
    } }, ...head(WHY), error, button));
    if (failure) tell(failure);
  };
  const ask = (begun) => {
    const button = h('button', { type: 'submit', class: 'primary' }, 'Turn on');
    const form = h('form', { novalidate: true, onsubmit: async (event) => {
      event.preventDefault();
      if (button.disabled) return;
      error.replaceChildren();
      button.disabled = true;
      form.setAttribute('aria-busy', 'true');
      try {
        const made = await firstCode(account, form.elements.code.value);
        card.replaceChildren(...head('It is on. Keep your recovery codes.'));
        showCodes(account, made, done);
      } catch (failure) {
        // It took too long, or it is on by now.
        if (failure.code === 'conflict') { explainWhy(failure); return; }
        tell(failure);
        form.elements.code.focus();
        form.elements.code.select();
      } finally {
        button.disabled = false;
        form.removeAttribute('aria-busy');
      }
    } }, ...head(`${WHY} Scan this with the app, then enter the code that it shows.`), ...secretOf(begun, 'form-error'), error, button);
    show(form);
  };
  explainWhy();
}

async function turnOn(account, back) {
  try {
    const begun = await account.beginTotp(() => prove(account));
    formDialog({
      title: 'Turn on two-step sign-in', label: 'Turn on',
      about: 'Scan this with an authenticator app, then enter the code that it shows.',
      fields: secretOf(begun, 'dialog-error'),
      submit: ({ code }) => firstCode(account, code),
      done: (made) => showCodes(account, made, back),
    });
  } catch (error) { failed(error); }
}

/** Another app in the place of the one there is: by a code of both, or a recovery code when the old one is lost. */
async function anotherApp(account, back) {
  try {
    const begun = await account.beginTotp(() => prove(account));
    formDialog({
      title: 'Use another app', label: 'Use this app',
      about: 'Scan this with the new app and enter the code that it shows. The app you have now stops working for Lynk, and so do your recovery codes: you get new ones.',
      fields: [...secretOf(begun, 'dialog-error'), h('label', { for: 'current-code' }, 'Code of the app you have now, or a recovery code'),
        h('input', { id: 'current-code', name: 'current', class: 'code', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', maxlength: '48', 'aria-describedby': 'dialog-error' })],
      submit: ({ code, current }) => {
        const { code: current_code, recovery_code } = shownOf(current);
        return firstCode(account, code, { replacement: begun.replacement, ...(current_code ? { current_code } : { recovery_code }) });
      },
      done: (made) => showCodes(account, made, back),
    });
  } catch (error) { failed(error); }
}

async function newCodes(account, back) {
  try { showCodes(account, await account.newRecoveryCodes(() => prove(account)), back); } catch (error) { failed(error); }
}

/** Recovery codes: shown this once. */
function showCodes(account, { recovery_codes: codes, other_sessions: others }, back) {
  const text = `Lynk recovery codes of @${account.session.user.user_name}\nEach signs in once in place of a code of the app.\n\n${codes.join('\n')}\n`;
  const copy = h('button', { type: 'button', class: 'secondary', onclick: async () => {
    try { await navigator.clipboard.writeText(text); toast('Copied'); } catch { toast('Your browser does not let this page copy. Mark the codes and copy them.', { kind: 'error' }); }
  } }, icon('copy'), 'Copy');
  const save = h('button', { type: 'button', class: 'secondary', onclick: () => {
    const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    h('a', { href: url, download: 'lynk-recovery-codes.txt' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } }, icon('down'), 'Download');
  const dialog = openDialog('Your recovery codes', h('div', {},
    h('p', { class: 'about' }, 'Each of these signs you in once if your phone is lost. They are not shown again: keep them where you keep important papers.'),
    h('ol', { class: 'codes' }, codes.map((code) => h('li', {}, h('code', {}, code)))),
    h('div', { class: 'actions' }, copy, save),
    h('footer', {}, h('button', { type: 'button', class: 'primary', onclick: () => dialog.close() }, 'I have saved them'))), {
    onclose: () => { if (others) offerOthers(account, others, back); else back(); },
  });
}

/** After a change of how one signs in: whoever is signed in elsewhere was asked for less. */
function offerOthers(account, others, back) {
  confirmDialog({
    title: 'Sign out everywhere else?', about: `You are signed in in ${count(others, 'other place')}. They stay signed in without the change unless you end them.`, label: 'Sign out everywhere else',
    run: async () => { const { revoked } = await account.revokeOthers(() => prove(account)); toast(`${count(revoked, 'session')} ended`); },
    onclose: back,
  });
}

function turnOff(account, back) {
  formDialog({
    title: 'Turn off two-step sign-in?', label: 'Turn off',
    about: 'Your phone number alone will sign you in. Enter a code of your app, or a recovery code.',
    fields: [h('label', { for: 'off-code' }, 'Code'), h('input', { id: 'off-code', name: 'code', class: 'code', autocomplete: 'one-time-code', autocapitalize: 'none', spellcheck: 'false', maxlength: '48', 'aria-describedby': 'dialog-error' })],
    submit: ({ code }) => account.endTotp(shownOf(code)),
    done: ({ other_sessions: others }) => { toast('Two-step sign-in is off'); if (others) offerOthers(account, others, back); else back(); },
  });
}
