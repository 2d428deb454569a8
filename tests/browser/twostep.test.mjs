/** Two-step sign-in, as a person with an authenticator app goes through it. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { App, openBrowser, Person, Server, sleep, until } from './harness.mjs';

let browser;
let server;
let eve;

before(async () => {
  // One number for everything here: more codes of it than a person needs in a day.
  server = await Server.start(['--set', 'codes.per_number_day=9', '--set', 'codes.per_address_hour=0']);
  browser = await openBrowser();
  eve = await Person.arrive(browser, server, { name: 'Eve Moreau', user: 'eve' });
});
after(async () => {
  await eve?.leave();
  await browser?.close();
  await server?.stop();
});

const look = async (name) => {
  await eve.shot(name);
  await eve.axe(name);
};

const settings = async () => {
  await eve.page.getByRole('button', { name: 'Settings', exact: true }).click();
  await eve.page.getByRole('heading', { name: 'Two-step sign-in' }).waitFor();
};

const signOut = async () => {
  await settings();
  await eve.page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await eve.page.getByRole('dialog').getByRole('button', { name: 'Sign out', exact: true }).click();
  await eve.page.getByLabel('Phone number').waitFor();
};

const proveNumber = async () => {
  const { page } = eve;
  await sleep(1_100);
  await page.getByLabel('Phone number').fill(eve.phone);
  await page.getByRole('button', { name: 'Send the code' }).click();
  await page.getByLabel('Six-digit code').waitFor();
  await page.getByLabel('Six-digit code').fill(await server.code(eve.phone));
  await page.getByRole('heading', { name: 'Two-step sign-in' }).waitFor();
};

test('two-step sign-in is turned on, asked for, and turned off', async () => {
  const { page } = eve;
  await eve.signUp();
  await settings();
  await page.getByRole('button', { name: 'Turn on' }).waitFor();
  await look('twostep-off');
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByRole('img', { name: 'QR code for your authenticator app' }).waitFor();
  assert.match(await page.locator('.qr path').getAttribute('d'), /^M\d+ \d+h/);
  await page.getByText('The app cannot scan?').click();
  await look('twostep-enrol');
  const app = new App(await page.locator('code.secret').textContent());
  await page.getByLabel('Six-digit code of the app').fill('12');
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByRole('alert').filter({ hasText: 'The code has six digits' }).waitFor();
  await page.getByLabel('Six-digit code of the app').fill(await app.next());
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
  await look('twostep-codes');
  const codes = await page.locator('.codes code').allTextContents();
  assert.equal(new Set(codes).size, 10);
  await page.getByRole('button', { name: 'Copy' }).click();
  await until('they are copied', async () => (await page.evaluate(() => navigator.clipboard.readText())).includes(codes[9]));
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
  assert.equal(download.suggestedFilename(), 'lynk-recovery-codes.txt');
  assert.ok(readFileSync(await download.path(), 'utf8').includes(codes[0]));
  await page.getByRole('button', { name: 'I have saved them' }).click();
  await page.getByText('10 recovery codes left.').waitFor();
  await look('twostep-on');
  await page.keyboard.press('Escape');

  await signOut();
  await proveNumber();
  await look('signin-second');
  await page.getByLabel('Six-digit code of the app').fill('000000');
  await page.getByRole('alert').filter({ hasText: 'That code is not right' }).waitFor();
  await look('signin-second-wrong');
  await page.getByLabel('Six-digit code of the app').fill(await app.next());
  await eve.online();

  await signOut();
  await proveNumber();
  await page.getByRole('button', { name: 'Use a recovery code' }).click();
  await look('signin-recovery');
  await page.getByLabel('Recovery code').fill(codes[4].toUpperCase());
  await page.getByRole('button', { name: 'Continue' }).click();
  await eve.online();
  await settings();
  await page.getByText('9 recovery codes left.').waitFor();
  await page.getByRole('button', { name: 'Turn off' }).click();
  await look('twostep-turn-off');
  await page.getByLabel('Code', { exact: true }).fill(codes[4]);
  await page.getByRole('dialog').getByRole('button', { name: 'Turn off' }).click();
  await page.getByRole('alert').filter({ hasText: 'That code is not right' }).waitFor();
  await page.getByLabel('Code', { exact: true }).fill(codes[5]);
  await page.getByRole('dialog').getByRole('button', { name: 'Turn off' }).click();
  await page.getByRole('button', { name: 'Turn on' }).waitFor();
  await page.keyboard.press('Escape');
});

test('a change that needs it asks who one is', async () => {
  const { page } = eve;
  // Of a session whose sign-in is long ago: its refreshed token has no recent proof, and the server says so once.
  let asked = 0;
  await page.route('**/v1/me/totp', (route) => {
    if (route.request().method() !== 'POST' || asked++ > 0) return route.continue();
    return route.fulfill({ status: 403, contentType: 'application/json', body: JSON.stringify({ code: 'step_up_required', message: 'prove again who you are', retryable: false, request_id: '0000000000000000' }) });
  });
  await sleep(1_100);
  await settings();
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByRole('heading', { name: 'Is it you?' }).waitFor();
  await look('step-up');
  await page.getByLabel('Six-digit code').fill(await server.code(eve.phone));
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('img', { name: 'QR code for your authenticator app' }).waitFor();
  assert.equal(asked, 2, 'and repeats what was asked for');
  await page.keyboard.press('Escape');
  await page.unroute('**/v1/me/totp');
});

test('signing out another device asks who one is, and once for all of them', async () => {
  const { page } = eve;
  const call = async (path, body, token) => {
    const answer = await fetch(`${server.url}/v1${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer.json();
  };
  const device = async (name) => {
    await sleep(1_100);
    const { request_id } = await call('/auth/code', { phone: eve.phone });
    return call('/auth/verify', { request_id, code: await server.code(eve.phone), device: name });
  };
  const alive = async ({ access_token: token }) => (await fetch(`${server.url}/v1/me`, { headers: { authorization: `Bearer ${token}` } })).status === 200;
  const [stolen, tablet] = [await device('Stolen'), await device('Tablet')];
  // The proof of the test before is forgotten with the page.
  await page.reload();
  await eve.online();
  // As of a session whose sign-in is long ago: the server refuses the session's own token and takes that of a proof, which is another one.
  const own = await page.evaluate(() => JSON.parse(localStorage.getItem('lynk.session')).access_token);
  let refused = 0;
  const stale = (route) => {
    if (route.request().headers().authorization !== `Bearer ${own}`) return route.continue();
    refused += 1;
    return route.fulfill({ status: 403, contentType: 'application/json', body: JSON.stringify({ code: 'step_up_required', message: 'prove again who you are', retryable: false, request_id: '0000000000000000' }) });
  };
  await page.route('**/v1/sessions/**', stale);
  await sleep(1_100);
  await settings();
  const end = page.getByRole('button', { name: 'Sign out Stolen' });
  await end.click();
  await page.getByRole('heading', { name: 'Is it you?' }).waitFor();
  await look('step-up-session');
  await server.code(eve.phone);
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: 'Is it you?' }).waitFor({ state: 'detached' });
  assert.ok(await alive(stolen), 'called off');
  await sleep(1_100);
  await end.click();
  await page.getByLabel('Six-digit code').fill(await server.code(eve.phone));
  await page.getByRole('button', { name: 'Continue' }).click();
  await end.waitFor({ state: 'detached' });
  assert.ok(!(await alive(stolen)) && (await alive(tablet)));
  await page.getByRole('button', { name: 'Sign out everywhere else' }).click();
  await page.getByRole('button', { name: 'Sign out Tablet' }).waitFor({ state: 'detached' });
  assert.ok(!(await alive(tablet)));
  assert.equal(refused, 3, 'nobody is asked again while the proof is good');
  await page.keyboard.press('Escape');
  await page.unroute('**/v1/sessions/**', stale);
});

test('a person takes out what the server has', async () => {
  const { page } = eve;
  await eve.createRoom('Notes');
  await eve.said('to be kept');
  await settings();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download my data' }).click()]);
  const all = JSON.parse(readFileSync(await download.path(), 'utf8'));
  assert.equal(all.account.user_name, eve.user);
  assert.equal(all.rooms.length, 1);
  assert.deepEqual(all.messages.map(({ text }) => text), ['to be kept']);
});

test('a person deletes the account, and gets a receipt', async () => {
  const { page } = eve;
  await settings();
  await page.getByRole('button', { name: 'Delete my account' }).click();
  await page.getByLabel('User name').fill('somebody');
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await page.getByRole('alert').filter({ hasText: 'That is not your user name' }).waitFor();
  await look('erase');
  await page.getByLabel('User name').fill('EVE');
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await page.getByRole('heading', { name: 'Your account is deleted' }).waitFor();
  await page.getByRole('row', { name: /backups/ }).waitFor();
  await look('erase-receipt');
  await page.keyboard.press('Escape');
  await page.getByLabel('Phone number').waitFor();
  assert.equal(await page.evaluate(() => localStorage.getItem('lynk.session')), null);
});
