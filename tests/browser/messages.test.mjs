/** What messages can do beyond being said: they mention people, and are found by day. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, Person, Server, until } from './harness.mjs';

let browser;
let server;
let ada;
let bob;
let cyd;

before(async () => {
  server = await Server.start();
  browser = await openBrowser();
  ada = await Person.arrive(browser, server, { name: 'Ada Lovelace', user: 'ada' });
  bob = await Person.arrive(browser, server, { name: 'Bob Kahn', user: 'bob.kahn', scheme: 'dark' });
  cyd = await Person.arrive(browser, server, { name: 'Cyd Nowak', user: 'cyd', width: 390, height: 844, touch: true });
  for (const person of [ada, bob, cyd]) await person.signUp();
  await ada.createRoom('Engine');
  await bob.joinRoom('Engine');
  await cyd.joinRoom('Engine');
  await cyd.page.getByRole('button', { name: 'Back to the list' }).click();
});
after(async () => {
  for (const person of [ada, bob, cyd]) await person?.leave();
  await browser?.close();
  await server?.stop();
});

const look = async (person, name, page = person.page) => {
  await person.shot(name, page);
  await person.axe(name, page);
};

test('somebody is mentioned, and is told so', async () => {
  const field = ada.page.locator('#composer');
  await field.click();
  await field.pressSequentially('Ask @c');
  const list = ada.page.getByRole('listbox', { name: 'Mention somebody' });
  await list.getByRole('option', { name: /Cyd Nowak/ }).waitFor();
  await look(ada, 'mention-list');
  await field.press('Enter');
  assert.equal(await field.inputValue(), 'Ask @cyd ');
  await list.waitFor({ state: 'hidden' });
  await field.pressSequentially('or @bob.kahn.');
  await field.press('Enter');
  await bob.row('Ask @cyd or @bob.kahn.').locator('.mention.me', { hasText: '@bob.kahn' }).waitFor();
  await bob.row('Ask @cyd').locator('.mention.other', { hasText: '@cyd' }).waitFor();
  await bob.row('Ask @cyd').getByText('Mentions you.').waitFor({ state: 'attached' });
  await look(bob, 'mentioned-dark');
  const link = cyd.page.getByRole('link', { name: /Engine/ });
  await link.locator('.badge.at').waitFor();
  assert.match(await link.textContent(), /1 mention you, *1 unread/);
  await look(cyd, 'list-mentioned-phone');
  await cyd.page.reload();
  await cyd.online();
  await link.locator('.badge.at').waitFor();
  await link.click();
  await cyd.row('Ask @cyd').locator('.mention.me', { hasText: '@cyd' }).waitFor();
  await until('the badge goes', async () => (await cyd.page.locator('.badge.at').count()) === 0);
});

test('an edit takes a mention back, and everybody is for those who manage the room', async () => {
  await cyd.page.getByRole('button', { name: 'Back to the list' }).click();
  await ada.said('@cyd are you there?');
  await cyd.page.locator('.badge.at').waitFor();
  await ada.page.locator('#composer').press('ArrowUp');
  await ada.say('Are you there?');
  await until('the badge goes', async () => (await cyd.page.locator('.badge.at').count()) === 0);
  const field = bob.page.locator('#composer');
  await field.pressSequentially('@al');
  await bob.page.getByRole('listbox', { name: 'Mention somebody' }).waitFor({ state: 'hidden' });
  await field.fill('');
  await ada.page.locator('#composer').pressSequentially('@al');
  await ada.page.getByRole('option', { name: /Everybody in this room/ }).click();
  await ada.page.locator('#composer').pressSequentially('the engine runs');
  await ada.page.locator('#composer').press('Enter');
  await bob.row('@all the engine runs').locator('.mention.me', { hasText: '@all' }).waitFor();
  await cyd.page.locator('.badge.at').waitFor();
  await cyd.page.getByRole('link', { name: /Engine/ }).click();
});

test('a day is looked for', async () => {
  await bob.page.getByRole('button', { name: 'Members', exact: true }).click();
  await bob.page.getByRole('button', { name: 'Go to a day' }).click();
  await look(bob, 'go-to-a-day-dark');
  await bob.page.getByRole('textbox', { name: 'Day' }).fill('2020-01-01');
  await bob.page.getByRole('button', { name: 'Go', exact: true }).click();
  await until('the first message has the focus', () => bob.page.evaluate(() => document.activeElement?.textContent.includes('Ask @cyd')));
});
