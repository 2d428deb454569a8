/** A server that demands a second factor of everybody. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { App, openBrowser, Person, Server, sleep } from './harness.mjs';

const DEMANDED = ['--set', 'factors.required=true'];
const LIMITS = ['--set', 'codes.per_number_day=9', '--set', 'codes.per_address_hour=0'];

let browser;
let server;

before(async () => {
  server = await Server.start([...LIMITS, ...DEMANDED]);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const enrolment = (page) => page.getByRole('heading', { name: 'Set up two-step sign-in' }).waitFor();

/** Reads the secret, enters its code, keeps the recovery codes. */
async function enrol(person, at = async () => {}) {
  const { page } = person;
  await at('enrolment-why');
  await page.getByRole('button', { name: 'Set it up' }).click();
  await page.getByRole('img', { name: 'QR code for your authenticator app' }).waitFor();
  await page.getByText('The app cannot scan?').click();
  await at('enrolment');
  const app = new App(await page.locator('code.secret').textContent());
  await page.getByLabel('Six-digit code of the app').fill('12');
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByRole('alert').filter({ hasText: 'The code has six digits' }).waitFor();
  await page.getByLabel('Six-digit code of the app').fill(await app.next());
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
  await at('enrolment-codes');
  await page.getByRole('button', { name: 'I have saved them' }).click();
  return app;
}

const look = (person) => async (name) => {
  await person.shot(name);
  await person.axe(name);
};

test('a new person sets up the second step before there is a chat, in whichever tab', async () => {
  const eve = await Person.arrive(browser, server, { name: 'Eve Moreau', user: 'eve' });
  const { page } = eve;
  eve.online = () => enrolment(page);
  await eve.signUp();
  assert.equal(await page.locator('.shell').count(), 0, 'nothing else is shown');
  // As after a reload, and in another tab.
  await page.reload();
  await enrolment(page);
  const other = await eve.newPage();
  await other.goto(server.url);
  await enrolment(other);
  const app = await enrol(eve, look(eve));
  delete eve.online;
  await eve.online();
  await eve.online(other);
  await eve.createRoom('Behind two steps');
  await eve.say('hello');
  await eve.sees('hello');
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByText('This server asks everybody for it.').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Turn off' }).count(), 0);
  await look(eve)('twostep-demanded');
  // Another app in its place.
  await page.getByRole('button', { name: 'Use another app' }).click();
  await page.getByText('The app cannot scan?').click();
  const next = new App(await page.locator('code.secret').textContent());
  await look(eve)('twostep-another');
  // What is filled in is sent soon: a code is good for a minute.
  await page.getByLabel('Six-digit code of the app').fill(await next.next());
  await page.getByLabel('Code of the app you have now').fill('000000');
  await page.getByRole('button', { name: 'Use this app' }).click();
  await page.getByRole('alert').filter({ hasText: 'That code is not right' }).waitFor();
  await page.getByLabel('Code of the app you have now').fill(await app.next());
  await page.getByRole('button', { name: 'Use this app' }).click();
  await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
  await page.getByRole('button', { name: 'I have saved them' }).click();
  await page.getByText('10 recovery codes left.').waitFor();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByLabel('Phone number').waitFor();
  await sleep(1_100);
  await page.getByLabel('Phone number').fill(eve.phone);
  await page.getByRole('button', { name: 'Send the code' }).click();
  await page.getByLabel('Six-digit code').waitFor();
  await page.getByLabel('Six-digit code').fill(await server.code(eve.phone));
  await page.getByRole('heading', { name: 'Two-step sign-in' }).waitFor();
  await page.getByLabel('Six-digit code of the app').fill(await next.next());
  await eve.online();
  await eve.leave();
});

test('a session from before the demand is held to it at its next refresh, and one may sign out instead', async () => {
  await server.stop();
  server = await Server.start(LIMITS);
  const ann = await Person.arrive(browser, server, { name: 'Ann Duval', user: 'ann' });
  const { page } = ann;
  await ann.signUp();
  await ann.createRoom('Before');
  await server.kill();
  server.more = [...LIMITS, ...DEMANDED];
  await server.run();
  await ann.online();
  // As after the quarter of an hour for which its access token is good.
  await page.evaluate(() => localStorage.setItem('lynk.session', JSON.stringify({ ...JSON.parse(localStorage.getItem('lynk.session')), access_until: 0 })));
  await page.reload();
  await enrolment(page);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Phone number').waitFor();
  await sleep(1_100);
  await page.getByLabel('Phone number').fill(ann.phone);
  await page.getByRole('button', { name: 'Send the code' }).click();
  await page.getByLabel('Six-digit code').waitFor();
  await page.getByLabel('Six-digit code').fill(await server.code(ann.phone));
  await enrolment(page);
  await enrol(ann);
  await ann.online();
  await page.getByRole('link', { name: /Before/ }).waitFor();
  await ann.leave();
});
