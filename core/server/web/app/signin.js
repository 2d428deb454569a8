/** Signing in: number, code, and a name for who is new. */

import { nameLine } from './available.js';
import { h, $, icon } from './dom.js';
import { count, explain } from './format.js';
import { settings } from './storage.js';
import { isRecovery } from './twostep.js';

/** Country calling codes by region, the common ones; a number that begins with + needs none. */
const CODES = 'AE971 AF93 AL355 AM374 AO244 AR54 AT43 AU61 AZ994 BA387 BD880 BE32 BF226 BG359 BH973 BO591 BR55 BY375 CA1 CD243 CH41 CI225 CL56 CM237 CN86 CO57 CR506 CU53 CY357 CZ420 DE49 DK45 DO1 DZ213 EC593 EE372 EG20 ES34 ET251 FI358 FR33 GB44 GE995 GH233 GR30 GT502 HK852 HN504 HR385 HT509 HU36 ID62 IE353 IL972 IN91 IQ964 IR98 IS354 IT39 JM1 JO962 JP81 KE254 KG996 KH855 KR82 KW965 KZ7 LA856 LB961 LK94 LT370 LU352 LV371 LY218 MA212 MD373 ME382 MG261 MK389 ML223 MM95 MN976 MT356 MU230 MX52 MY60 MZ258 NA264 NE227 NG234 NI505 NL31 NO47 NP977 NZ64 OM968 PA507 PE51 PH63 PK92 PL48 PR1 PS970 PT351 PY595 QA974 RO40 RS381 RU7 RW250 SA966 SD249 SE46 SG65 SI386 SK421 SN221 SV503 SY963 TH99 TJ992 TM993 TN216 TR90 TW886 TZ255 UA380 UG256 US1 UY598 UZ998 VE58 VN84 YE967 ZA27 ZM260 ZW263'
  .split(' ').map((entry) => [entry.slice(0, 2), entry.slice(2)]);

/** `+491512345678` from what a person typed, or `undefined`. */
export function phoneOf(typed, code) {
  let digits = typed.replace(/[^\d+]/g, '');
  if (digits.startsWith('00')) digits = `+${digits.slice(2)}`;
  if (!digits.startsWith('+')) digits = `+${code}${['39', '7'].includes(code) ? digits : digits.replace(/^0/, '')}`;
  return /^\+[1-9]\d{6,14}$/.test(digits) ? digits : undefined;
}

/** What to call this browser in the list of sessions. */
export function deviceName(agent = navigator.userAgent) {
  const browser = [['Edg/', 'Edge'], ['OPR/', 'Opera'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']].find(([mark]) => agent.includes(mark))?.[1] ?? 'Browser';
  const system = [['Android', 'Android'], ['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Mac OS X', 'macOS'], ['Windows', 'Windows'], ['CrOS', 'ChromeOS'], ['Linux', 'Linux']].find(([mark]) => agent.includes(mark))?.[1];
  return system ? `${browser} on ${system}` : browser;
}

/** Shows the screens in `root` until somebody is signed in; then calls `done`. */
export function showSignIn(root, account, done, notice) {
  const card = h('div', { class: 'card' });
  root.replaceChildren(h('main', { class: 'signin' },
    h('div', { class: 'brand' }, h('img', { src: '/assets/icon.svg', alt: '', width: '56', height: '56' }), h('span', {}, 'Lynk')),
    card, h('p', { class: 'fine' }, 'Your number signs you in. Nobody else sees it.')));
  let phone;

  /** One step: a form that knows waiting and errors. */
  const step = (title, about, fields, label, submit, extra) => {
    const error = h('p', { class: 'error', id: 'form-error', role: 'alert' });
    const button = h('button', { type: 'submit', class: 'primary' }, label);
    const form = h('form', { novalidate: true, onsubmit: async (event) => {
      event.preventDefault();
      if (button.disabled) return;
      error.replaceChildren();
      for (const input of form.querySelectorAll('[aria-invalid]')) input.removeAttribute('aria-invalid');
      button.disabled = true;
      form.setAttribute('aria-busy', 'true');
      try {
        await submit();
      } catch (failure) {
        error.replaceChildren(icon('warning'), h('span', {}, failure.retryAfterMs && failure.code === 'rate_limited'
          ? `Too many tries. Try again in ${count(Math.ceil(failure.retryAfterMs / 1000), 'second')}.` : explain(failure)));
        const field = $(`#${failure.field ?? fields[0]}`, form);
        field?.setAttribute('aria-invalid', 'true');
        field?.focus();
        field?.select?.();
      } finally {
        button.disabled = false;
        form.removeAttribute('aria-busy');
      }
    } }, h('h1', { tabindex: '-1' }, title), about && h('p', { class: 'about' }, about), ...extra, error, button);
    card.replaceChildren(form);
    $(`#${fields[0]}`, form)?.focus();
    return form;
  };
  const bad = (field, message) => Object.assign(new Error(message), { field });

  const askPhone = (typed = '') => {
    const region = settings.get('region') ?? new Intl.Locale(navigator.language).maximize().region;
    const names = new Intl.DisplayNames(undefined, { type: 'region', fallback: 'code' });
    const country = h('select', { id: 'country', autocomplete: 'country' }, CODES.map(([id, code]) => ({ id, code, name: names.of(id) }))
      .sort((a, b) => a.name.localeCompare(b.name))
      .map(({ id, code, name }) => h('option', { value: id, selected: id === (CODES.some(([known]) => known === region) ? region : 'US') }, `${name} (+${code})`)));
    const input = h('input', { id: 'phone', type: 'tel', inputmode: 'tel', autocomplete: 'tel', required: true, value: typed, 'aria-describedby': 'form-error' });
    step('Sign in', 'Enter your phone number. We send a code to it by SMS.', ['phone'], 'Send the code', async () => {
      const code = CODES.find(([id]) => id === country.value)[1];
      phone = phoneOf(input.value, code);
      if (!phone) throw bad('phone', 'That is not a phone number. Enter all its digits; +49… works as well.');
      settings.set('region', country.value);
      askCode(await account.requestCode(phone).catch((failure) => {
        throw failure.code === 'invalid_field' ? bad('phone', 'There is no such number in its country. Check the digits.') : failure;
      }));
    }, [
      notice && h('p', { class: 'notice' }, notice),
      h('label', { for: 'country' }, 'Country'), country,
      h('label', { for: 'phone' }, 'Phone number'), input,
    ]);
    notice = undefined;
  };

  const askCode = (request) => {
    const input = h('input', { id: 'code', class: 'code', inputmode: 'numeric', autocomplete: 'one-time-code', maxlength: '7', required: true, 'aria-describedby': 'form-error',
      oninput: () => {
        input.value = input.value.replace(/\D/g, '').slice(0, 6);
        if (input.value.length === 6) form.requestSubmit();
      } });
    const again = h('button', { type: 'button', class: 'link', disabled: true, onclick: async () => {
      again.disabled = true;
      try { askCode(await account.requestCode(phone)); } catch (failure) {
        $('#form-error', form).replaceChildren(icon('warning'), h('span', {}, explain(failure)));
        again.disabled = false;
      }
    } });
    const form = step('Enter the code', h('span', {}, 'It is on its way to ', h('strong', {}, phone), '. ', h('button', { type: 'button', class: 'link', onclick: () => askPhone(phone) }, 'Change the number')),
      ['code'], 'Continue', async () => {
        if (input.value.length !== 6) throw bad('code', 'The code has six digits.');
        const answer = await account.verify(request.request_id, input.value, deviceName());
        if (answer.status === 'new') askName(answer.registration);
        else if (answer.status === 'second_factor') askSecond(answer.challenge);
        else done();
      }, [h('label', { for: 'code' }, 'Six-digit code'), input, h('p', { class: 'again' }, again)]);
    const until = Date.now() + (request.resend_in_ms ?? 60_000);
    const countDown = () => {
      if (!again.isConnected) { clearInterval(timer); return; }
      const left = Math.ceil((until - Date.now()) / 1000);
      again.disabled = left > 0;
      again.textContent = left > 0 ? `Send another code in ${left} s` : 'Send another code';
      if (left <= 0) clearInterval(timer);
    };
    const timer = setInterval(countDown, 1000);
    countDown();
  };

  /** The second step of accounts with an authenticator app: its code, or a recovery code. */
  const askSecond = (challenge, recovery = false) => {
    const input = recovery
      ? h('input', { id: 'recovery', class: 'code', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', maxlength: '48', required: true, 'aria-describedby': 'form-error' })
      : h('input', { id: 'second', class: 'code', inputmode: 'numeric', autocomplete: 'one-time-code', maxlength: '7', required: true, 'aria-describedby': 'form-error',
        oninput: () => {
          input.value = input.value.replace(/\D/g, '').slice(0, 6);
          if (input.value.length === 6) form.requestSubmit();
        } });
    const id = input.id;
    const form = step('Two-step sign-in', recovery ? 'Enter one of the recovery codes you saved. Each works once.' : 'Enter the code that your authenticator app shows for Lynk.', [id], 'Continue', async () => {
      const typed = input.value.trim();
      if (!recovery && typed.length !== 6) throw bad(id, 'The code has six digits.');
      if (recovery && !isRecovery(typed)) throw bad(id, 'A recovery code has 24 letters and digits, such as abcd-efgh-… (ten if you saved it long ago).');
      try {
        await account.secondFactor(challenge, recovery ? { recovery_code: typed } : { code: typed }, deviceName());
      } catch (failure) {
        throw failure.code === 'invalid_code' ? bad(id, recovery ? 'That code is not right, or it was used. If it should be, start again.' : 'That code is not right. The app shows a new one every 30 seconds, and each works once. After many tries, wait or use a recovery code.') : failure;
      }
      done();
    }, [h('label', { for: id }, recovery ? 'Recovery code' : 'Six-digit code of the app'), input,
      h('p', { class: 'again' }, h('button', { type: 'button', class: 'link', onclick: () => askSecond(challenge, !recovery) }, recovery ? 'Use the app' : 'Use a recovery code'), ' · ',
        h('button', { type: 'button', class: 'link', onclick: () => askPhone(phone) }, 'Start again'))]);
  };

  const askName = (registration) => {
    const name = h('input', { id: 'display-name', autocomplete: 'name', maxlength: '64', required: true, placeholder: 'Ada Lovelace' });
    const user = h('input', { id: 'user-name', autocomplete: 'username', autocapitalize: 'none', spellcheck: 'false', maxlength: '32', required: true, 'aria-describedby': 'user-name-hint form-error', placeholder: 'ada',
      oninput: () => { user.dataset.touched = ''; } });
    name.addEventListener('input', () => {
      if ('touched' in user.dataset) return;
      user.value = name.value.normalize('NFKC').toLocaleLowerCase().trim().replace(/\s+/g, '.').replace(/[^\p{L}\p{N}_.-]/gu, '').slice(0, 32);
      line.look();
    });
    const typed = () => user.value.normalize('NFKC').trim().replace(/^@/, '');
    const line = nameLine(user, () => (typed().length >= 3 ? account.userName(typed(), registration) : undefined),
      ({ available, reason, message }) => (available ? `${typed()} is free.` : reason === 'taken' ? `Somebody is called ${typed()} already.` : message));
    step('Welcome', 'You are new here. How should people see you?', ['display-name'], 'Start chatting', async () => {
      const wanted = typed();
      if (!name.value.trim()) throw bad('display-name', 'Enter your name, as friends should see it.');
      if (!/^[\p{L}\p{N}_.-]{3,32}$/u.test(wanted)) throw bad('user-name', 'A user name has 3 to 32 letters, digits, dots, dashes or underscores.');
      try {
        await account.register(registration, wanted, name.value.trim(), deviceName());
      } catch (failure) {
        throw failure.code === 'name_taken' ? bad('user-name', `Somebody is called ${wanted} already. Choose another user name.`) : failure;
      }
      done();
    }, [h('label', { for: 'display-name' }, 'Your name'), name,
      h('label', { for: 'user-name' }, 'User name'), user, line, h('p', { class: 'hint', id: 'user-name-hint' }, 'Unique. Others find you by it.')]);
  };

  askPhone();
}
