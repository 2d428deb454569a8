/** Conversations between strangers: they wait, unseen by totals, until the other side accepts, declines or blocks. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, Person, Server, until } from './harness.mjs';
import { picture } from './made.mjs';

let browser;
let server;
let ada;
let bob;
let cyd;

before(async () => {
  server = await Server.start();
  browser = await openBrowser();
  ada = await Person.arrive(browser, server, { name: 'Ada Lovelace', user: 'ada' });
  bob = await Person.arrive(browser, server, { name: 'Bob Kahn', user: 'bob', width: 390, height: 844, scheme: 'dark', touch: true });
  cyd = await Person.arrive(browser, server, { name: 'Cyd Nowak', user: 'cyd' });
  await Promise.all([ada, bob, cyd].map((person) => person.signUp()));
});
after(async () => {
  for (const person of [ada, bob, cyd]) await person?.leave();
  await browser?.close();
  await server?.stop();
});

const look = async (person, name) => {
  await person.shot(name);
  await person.axe(name);
};
const entry = (person) => person.page.getByRole('button', { name: /^Message requests/ });
const queue = (person) => person.page.getByRole('dialog', { name: 'Message requests' });
const waits = (person, text) => person.page.locator('.wait').filter({ hasText: text }).waitFor();

test('who writes to a stranger has three messages, words alone, and sees that it waits', async () => {
  await ada.message('bob');
  await waits(ada, 'Bob Kahn gets this as a request. You have 3 messages until it is accepted.');
  assert.ok(await ada.page.getByRole('button', { name: 'Attach files' }).isDisabled());
  await ada.say('Good morning, I read your paper');
  await waits(ada, 'Waits until Bob Kahn accepts. 2 of 3 messages left.');
  await look(ada, 'request-sent');
  await ada.page.locator('#composer').evaluate((field, bytes) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], 'a.png', { type: 'image/png' }));
    field.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData: data }));
  }, [...picture('a.png', 20, 20).buffer]);
  await ada.page.getByText('Files can be sent when the conversation is accepted.').waitFor();
  await ada.say('May I ask about the third figure?');
  await waits(ada, '1 of 3 messages left.');
  await ada.say('It is on page nine');
  await waits(ada, 'You have sent all 3 messages.');
  await until('she waits', () => ada.page.locator('#composer').isDisabled());
  assert.equal(await ada.page.locator('#composer').getAttribute('placeholder'), 'Bob Kahn has to accept first');
  assert.equal(await ada.page.locator('.row .tools [aria-label="React"]').count(), 0, 'what waits is not changed');
  await until('it is kept', async () => (await ada.page.locator('.row .tick-sent').count()) === 3);
  await ada.page.locator('.row').last().click({ button: 'right' });
  await ada.page.getByRole('menuitem', { name: 'Delete' }).waitFor();
  assert.equal(await ada.page.getByRole('menuitem', { name: 'Edit' }).count(), 0);
  await ada.page.keyboard.press('Escape');
  await look(ada, 'request-spent');
});

test('the other side has an entry that is no badge, reads it, and is not seen reading', async () => {
  await entry(bob).filter({ hasText: '1 person waits' }).waitFor();
  assert.equal(await bob.page.getByRole('link', { name: /Ada Lovelace/ }).count(), 0, 'it is not among the conversations');
  assert.equal(await bob.page.locator('.rooms .badge').count(), 0);
  assert.equal(await bob.page.title(), 'Lynk', 'and does not count');
  await look(bob, 'request-entry-phone-dark');
  await entry(bob).click();
  const list = queue(bob).getByRole('list', { name: 'Message requests' });
  await list.locator('.person').getByText('Ada Lovelace', { exact: true }).waitFor();
  await list.getByText('you share no room').waitFor();
  await list.getByText('May I ask about the third figure?').waitFor();
  await look(bob, 'request-list-phone-dark');
  await list.getByRole('button', { name: 'Show what Ada Lovelace wrote' }).click();
  await bob.sees('It is on page nine');
  const answer = bob.page.getByRole('region', { name: 'Request of Ada Lovelace' });
  await answer.getByText('You share no room.').waitFor();
  assert.ok(await bob.page.locator('#composer').isHidden());
  assert.equal(await bob.page.locator('.row .tools').count(), 0, 'nor does one react');
  await look(bob, 'request-open-phone-dark');
  // He has read it; she is not told.
  await until('he has read it', async () => (await bob.ask('GET', '/rooms')).rooms.every(({ unread }) => !unread));
  assert.equal(await ada.page.locator('.row .tick-sent').count(), 3);
});

test('accepted, it is a conversation as any other, on both sides', async () => {
  await Promise.all([
    bob.page.getByText('You can write to Ada Lovelace now').waitFor(),
    ada.page.getByText('Bob Kahn accepted your request.').waitFor(),
    bob.page.getByRole('region', { name: 'Request of Ada Lovelace' }).getByRole('button', { name: 'Accept' }).click(),
  ]);
  await bob.say('Of course, which one?');
  await ada.sees('Of course, which one?');
  await until('nothing waits', async () => (await ada.page.locator('.wait').count()) === 0);
  await until('she may react', async () => (await ada.page.locator('.row .tools [aria-label="React"]').count()) > 0);
  await ada.say('Thank you!');
  await bob.sees('Thank you!');
  await until('ticks tell again', async () => (await ada.page.locator('.row .tick-read').count()) > 0);
  await entry(bob).waitFor({ state: 'detached' });
  await bob.page.getByRole('button', { name: 'Back to the list' }).click();
  await bob.page.getByRole('link', { name: /Ada Lovelace/ }).waitFor();
  await ada.page.reload();
  await ada.online();
  await ada.sees('Thank you!');
  await until('nothing waits', async () => (await ada.page.locator('.wait').count()) === 0);
});

test('declined, it goes, and who asked sees what they saw before', async () => {
  await cyd.message('bob');
  await cyd.say('Cheap anchors, only today');
  await entry(bob).click();
  const list = queue(bob).getByRole('list', { name: 'Message requests' });
  await list.getByText('Cheap anchors').waitFor();
  await list.getByRole('button', { name: 'Decline Cyd Nowak' }).click();
  await queue(bob).getByText('Nobody waits for an answer.').waitFor();
  await bob.page.getByText('Declined. Cyd Nowak is not told.').first().waitFor();
  await until('the focus stays in the dialog', () => queue(bob).evaluate((dialog) => dialog.contains(document.activeElement)));
  await queue(bob).getByRole('button', { name: 'Close', exact: true }).click();
  await entry(bob).waitFor({ state: 'detached' });
  await cyd.say('Anybody there?');
  await waits(cyd, 'Waits until Bob Kahn accepts. 1 of 3 messages left.');
  await until('it is kept', async () => (await cyd.page.locator('.row .tick-sent').count()) === 2);
  await cyd.page.reload();
  await cyd.online();
  await waits(cyd, 'Waits until Bob Kahn accepts. 1 of 3 messages left.');
  await bob.page.reload();
  await bob.online();
  await bob.page.getByRole('link', { name: /Ada Lovelace/ }).waitFor();
  assert.equal(await entry(bob).count(), 0);
});

test('blocked, who asked is on the list of those', async () => {
  await ada.page.getByRole('button', { name: 'New conversation' }).waitFor();
  await cyd.message('ada');
  await cyd.say('Anchors?');
  await entry(ada).click();
  await queue(ada).getByRole('list', { name: 'Message requests' }).getByRole('button', { name: 'Block Cyd Nowak' }).click();
  const sure = ada.page.getByRole('dialog', { name: 'Block Cyd Nowak?' });
  await look(ada, 'request-block');
  await sure.getByRole('button', { name: 'Block', exact: true }).click();
  await sure.waitFor({ state: 'detached' });
  await queue(ada).getByText('Nobody waits for an answer.').waitFor();
  await look(ada, 'request-none');
  assert.deepEqual((await ada.ask('GET', '/blocks')).users.map(({ user_name: name }) => name), ['cyd']);
});
