/** How people come into rooms (found, asked, invited by a link), and what those who manage one do about its people. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { openBrowser, Person, Server, until } from './harness.mjs';

let browser;
let server;
let ada;
let bob;
let cyd;

/** A key for a command of now. */
function key() {
  const hex = Date.now().toString(16).padStart(12, '0') + randomBytes(10).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

before(async () => {
  server = await Server.start();
  browser = await openBrowser();
  ada = await Person.arrive(browser, server, { name: 'Ada Lovelace', user: 'ada' });
  bob = await Person.arrive(browser, server, { name: 'Bob Kahn', user: 'bob', scheme: 'dark' });
  cyd = await Person.arrive(browser, server, { name: 'Cyd Nowak', user: 'cyd', width: 360, height: 740, touch: true });
  await Promise.all([ada, bob].map((person) => person.signUp()));
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
const close = (person) => person.page.getByRole('dialog').getByRole('button', { name: 'Close', exact: true }).click();
const panel = async (person, deed) => {
  if (!(await person.page.getByRole('complementary', { name: 'Details' }).isVisible())) await person.page.getByRole('button', { name: 'Members', exact: true }).click();
  await person.page.getByRole('button', { name: deed }).click();
};

test('public rooms are found by the beginning of their names, page by page, and joined', async () => {
  for (let number = 1; number <= 24; number++) await ada.ask('POST', '/rooms', { key: key(), name: `Harbour ${String(number).padStart(2, '0')}`, ...(number === 1 && { description: 'Ships, tides and those who wait for them.' }) });
  await ada.createRoom('Board', 'By invitation');
  await bob.menu('Find a room');
  const dialog = bob.page.getByRole('dialog', { name: 'Find a room' });
  const found = dialog.getByRole('list', { name: 'Find a room' });
  await dialog.getByText('You have not asked to join any room.').waitFor();
  await dialog.getByLabel('Room name').fill('harb');
  await until('a page of them', async () => (await found.getByRole('button', { name: /^Join Harbour/ }).count()) === 20);
  await found.getByText('Ships, tides').waitFor();
  await look(bob, 'find-a-room-dark');
  await dialog.getByRole('button', { name: 'Show more' }).click();
  await until('all of them', async () => (await found.getByRole('button', { name: /^Join Harbour/ }).count()) === 24);
  await dialog.getByLabel('Room name').fill('nothing like it');
  await dialog.getByText('No room is found by that.').waitFor();
  await dialog.getByLabel('Room name').fill('harbour 07');
  await until('one is left', async () => (await found.getByRole('button').count()) === 1);
  await dialog.getByLabel('Room name').press('ArrowDown');
  await bob.page.keyboard.press('Enter');
  await bob.page.getByRole('heading', { level: 1, name: 'Harbour 07' }).waitFor({ state: 'attached' });
  await bob.page.getByText('You joined').waitFor();
});

test('a room by invitation is asked: the request is taken back, accepted, or declined', async () => {
  await bob.menu('Find a room');
  const dialog = bob.page.getByRole('dialog', { name: 'Find a room' });
  const requests = dialog.getByRole('list', { name: 'Your requests' });
  await dialog.getByLabel('Room name').fill('board');
  const ask = async (text) => {
    await dialog.getByRole('button', { name: 'Ask to join board' }).click();
    const form = bob.page.getByRole('dialog', { name: 'Ask to join board' });
    await form.getByLabel('A word to them').fill(text);
    if (text) await look(bob, 'ask-to-join-dark');
    await form.getByRole('button', { name: 'Ask', exact: true }).click();
    await form.waitFor({ state: 'detached' });
  };
  await ask('');
  await requests.getByRole('button', { name: 'Withdraw Board' }).click();
  await dialog.getByText('You have not asked to join any room.').waitFor();
  // She was told of the first one, too.
  await ada.page.getByText('Bob Kahn asks to join Board').first().waitFor({ state: 'detached' });
  await Promise.all([ada.page.getByText('Bob Kahn asks to join Board').first().waitFor(), ask('I bring\nthe minutes')]);
  await requests.getByText('I bring').waitFor();
  await look(bob, 'own-requests-dark');
  await close(bob);
  // Whoever knows the name gets here in the other dialog, too.
  await bob.menu('Join a room');
  await bob.page.getByLabel('Room name or code').fill('Board');
  await bob.page.getByRole('button', { name: 'Join', exact: true }).click();
  await bob.page.getByRole('dialog', { name: 'Ask to join Board' }).getByRole('button', { name: 'Ask', exact: true }).click();
  await bob.page.getByText('You have asked already.').waitFor();
  await bob.page.getByRole('button', { name: 'Cancel' }).click();

  await ada.page.getByRole('button', { name: 'Members', exact: true }).click();
  await ada.page.getByRole('button', { name: /Requests to join ?1 open/ }).click();
  const queue = ada.page.getByRole('dialog', { name: 'Requests to join' });
  await queue.getByText('I bring').waitFor();
  await look(ada, 'requests-to-join');
  await queue.getByRole('button', { name: 'Accept Bob Kahn' }).click();
  await queue.getByText('Nobody asks to join.').waitFor();
  await bob.page.getByRole('link', { name: /Board/ }).waitFor();
  await cyd.signUp();
  await cyd.menu('Find a room');
  await cyd.page.getByLabel('Room name').fill('Board');
  await cyd.page.getByRole('button', { name: 'Ask to join Board' }).click();
  await cyd.page.getByRole('button', { name: 'Ask', exact: true }).click();
  await queue.getByRole('button', { name: 'Decline Cyd Nowak' }).click();
  await queue.getByText('Nobody asks to join.').waitFor();
  await cyd.page.getByText(/Declined\. You may ask again/).waitFor();
  await look(cyd, 'declined-phone');
  await close(cyd);
  await close(ada);
  await ada.page.getByRole('button', { name: 'Requests to join', exact: true }).waitFor();
});

test('a link with a number of uses is made and copied, opened before signing in, used up, and another one ended', async () => {
  await ada.createRoom('Cellar', 'Private');
  await panel(ada, 'Invite by a link');
  const dialog = ada.page.getByRole('dialog', { name: 'Invite by a link' });
  await dialog.getByText('There are no links.').waitFor();
  await dialog.getByLabel('Works for').selectOption('a day');
  await dialog.getByLabel('Lets in').selectOption('one person');
  await dialog.getByRole('button', { name: 'Make a link' }).click();
  await dialog.getByText('0 of 1 joined').waitFor();
  const address = await dialog.getByLabel('The new link').inputValue();
  assert.match(address, new RegExp(`^${server.url}/#join=[0-9a-f]{64}$`));
  await look(ada, 'invite-by-a-link');
  await dialog.getByRole('button', { name: 'Copy' }).click();
  await until('it is copied', async () => (await ada.page.evaluate(() => navigator.clipboard.readText())) === address);
  const dan = await Person.arrive(browser, server, { name: 'Dan Ohm', user: 'dan', width: 360, height: 740, touch: true });
  await dan.signUp(undefined, address);
  const invited = dan.page.getByRole('dialog', { name: 'You are invited' });
  await invited.getByText('Cellar').waitFor();
  await invited.getByText('1 member.').waitFor();
  assert.ok(!dan.page.url().includes('join'), 'the code is in the address no longer');
  await look(dan, 'invited-phone');
  await invited.getByRole('button', { name: 'Join', exact: true }).click();
  await dan.page.getByRole('heading', { level: 1, name: 'Cellar' }).waitFor({ state: 'attached' });
  await dan.leave();
  // The page is open already: only the address changes.
  await bob.page.goto(address);
  await bob.page.getByRole('dialog', { name: 'This link does not work' }).waitFor();
  await look(bob, 'link-used-up-dark');
  await close(bob);
  await dialog.getByLabel('Lets in').selectOption('5 people');
  await dialog.getByRole('button', { name: 'Make a link' }).click();
  // The list is loaded again after it was made.
  await dialog.getByText('0 of 5 joined').waitFor();
  await until('there is another one', async () => (await dialog.getByLabel('The new link').inputValue()) !== address);
  const other = await dialog.getByLabel('The new link').inputValue();
  await dialog.getByRole('listitem').filter({ hasText: '0 of 5 joined' }).getByRole('button', { name: /^End the link/ }).click();
  await ada.page.getByText('The link is ended').waitFor();
  await bob.page.goto(other);
  await bob.page.getByRole('dialog', { name: 'This link does not work' }).waitFor();
  await close(bob);
});

test('a message, a member and the room are reported, with a reason', async () => {
  await cyd.menu('Find a room');
  await cyd.page.getByLabel('Room name').fill('harbour 07');
  await cyd.page.getByRole('button', { name: 'Join Harbour 07' }).click();
  await cyd.page.getByRole('heading', { level: 1, name: 'Harbour 07' }).waitFor({ state: 'attached' });
  await cyd.say('Cheap anchors, only today');
  await bob.page.getByRole('link', { name: /Harbour 07/ }).click();
  await bob.sees('Cheap anchors');
  const start = async () => {
    await bob.row('Cheap anchors').focus();
    await bob.page.keyboard.press('Enter');
    await bob.page.getByRole('menuitem', { name: 'Report' }).click();
    return bob.page.getByRole('dialog', { name: 'Report this message' });
  };
  const form = await start();
  await form.getByRole('button', { name: 'Report', exact: true }).click();
  await form.getByText('Choose what is wrong.').waitFor();
  await form.getByRole('radio', { name: 'Spam or advertising' }).check();
  await form.getByLabel('In your words').fill('The third time\nthis week');
  await look(bob, 'report-dark');
  // Whoever decides is told at once, and the queue is a click away.
  await close(ada);
  await Promise.all([
    ada.page.locator('.toast', { hasText: 'Something was reported in Harbour 07' }).getByRole('button', { name: 'Show' }).click(),
    bob.page.getByText('You have reported this message.').waitFor(),
    form.getByRole('button', { name: 'Report', exact: true }).click(),
  ]);
  await ada.page.getByRole('dialog', { name: 'Reports' }).getByText('Cheap anchors, only today').waitFor();
  await close(ada);
  const again = await start();
  await again.getByRole('radio', { name: 'Something else' }).check();
  await again.getByRole('button', { name: 'Report', exact: true }).click();
  await again.getByText('You have reported that already').waitFor();
  await again.getByRole('button', { name: 'Cancel' }).click();
  await panel(bob, 'Report the room');
  await bob.page.getByRole('dialog').getByText('Those who run this server look at it.').waitFor();
  await bob.page.getByRole('radio', { name: 'Something illegal' }).check();
  await bob.page.getByRole('dialog').getByRole('button', { name: 'Report', exact: true }).click();
  await bob.page.getByText('You have reported the room.').waitFor();
  await bob.page.getByRole('button', { name: /Cyd Nowak/ }).click();
  await bob.page.getByRole('menuitem', { name: 'Report' }).click();
  await bob.page.getByRole('radio', { name: 'Harassment' }).check();
  await bob.page.getByRole('dialog').getByRole('button', { name: 'Report', exact: true }).click();
  await bob.page.getByText('You have reported Cyd Nowak.').waitFor();
  // How many wait is told anew, wherever they were opened.
  await ada.page.getByRole('button', { name: /Reports ?2 open/ }).waitFor();
});

test('reports are decided, what was decided is done, and the log has all of it', async () => {
  await ada.page.getByRole('link', { name: /Harbour 07/ }).click();
  await ada.page.getByRole('button', { name: /Reports ?2 open/ }).click();
  const queue = ada.page.getByRole('dialog', { name: 'Reports' });
  const list = queue.getByRole('list', { name: 'Reports' });
  await list.getByText('A message of Cyd Nowak').waitFor();
  await list.getByText('Cheap anchors, only today').waitFor();
  await list.getByText('The third time').waitFor();
  assert.ok(!(await list.textContent()).includes('Bob'), 'who reported is not told');
  await look(ada, 'reports');
  await ada.page.setViewportSize({ width: 360, height: 740 });
  await look(ada, 'reports-phone');
  await ada.page.setViewportSize({ width: 1280, height: 800 });
  const decide = async (what, outcome, note) => {
    await list.getByRole('listitem').filter({ hasText: what }).getByRole('button', { name: /^Decide/ }).click();
    const form = ada.page.getByRole('dialog', { name: /^Decide on report/ });
    await form.getByRole('radio', { name: outcome }).check();
    await form.getByLabel('A note').fill(note);
    if (note) await look(ada, 'decide-on-a-report');
    await form.getByRole('button', { name: 'Decide', exact: true }).click();
    await form.waitFor({ state: 'detached' });
  };
  await decide('A message of', 'Delete the message', 'Told them why.');
  await bob.page.locator('.row', { hasText: 'This message was deleted' }).waitFor();
  await Promise.all([cyd.page.getByText('You were banned from Harbour 07').first().waitFor(), decide('Harassment', 'Ban the member', '')]);
  await queue.getByText('There are none.').waitFor();
  await queue.getByRole('radio', { name: 'Resolved' }).check({ force: true });
  await list.getByText(/The message was deleted\. Decided by you,.*Told them why\./).waitFor();
  await close(ada);
  await ada.page.getByRole('button', { name: 'Reports', exact: true }).waitFor();
  // A delete is in the log a moment after it happened.
  const { room } = await ada.ask('GET', `/rooms/by_name/${encodeURIComponent('Harbour 07')}`);
  await until('the delete is in the log', async () => (await ada.ask('GET', `/rooms/${room}/moderation`)).acts.some(({ what }) => what === 'message_deleted'));
  await panel(ada, 'What moderators did');
  const log = ada.page.getByRole('dialog', { name: 'What moderators did' });
  for (const text of ['You decided on report', 'You banned Cyd Nowak', /You deleted/]) await log.getByText(text).first().waitFor();
  await look(ada, 'moderation-log');
  await close(ada);
  // More than a page of it.
  for (let number = 0; number < 26; number++) await ada.ask('PATCH', `/rooms/${room}`, { key: key(), description: `Tide ${number}` });
  await panel(ada, 'What moderators did');
  await log.getByRole('button', { name: 'Show more' }).click();
  await log.getByText('You banned Cyd Nowak').waitFor();
  await log.getByRole('button', { name: 'Show more' }).waitFor({ state: 'hidden' });
  await close(ada);
});

test('a room is slowed down, a message pinned, somebody muted and let write again, and the room is handed over', async () => {
  await ada.page.getByRole('button', { name: 'Edit the room' }).click();
  const form = ada.page.getByRole('dialog', { name: 'Edit the room' });
  await form.getByLabel('A member writes').selectOption('once in 30 seconds');
  await form.getByLabel('New members see').selectOption('what is said from then on');
  await form.getByRole('button', { name: 'Save' }).click();
  await ada.page.getByText('Members write once in 30 seconds.').waitFor();
  const { slow_mode_seconds: slow, visibility } = await ada.ask('GET', `/rooms/${(await ada.ask('GET', `/rooms/by_name/${encodeURIComponent('Harbour 07')}`)).room}/about`);
  assert.deepEqual([slow, visibility], [30, 'since_join']);

  await ada.said('Low water at six');
  await ada.row('Low water').focus();
  await ada.page.keyboard.press('Enter');
  await ada.page.getByRole('menuitem', { name: 'Pin', exact: true }).click();
  await bob.page.getByText('Ada Lovelace pinned a message').waitFor();
  await bob.page.getByRole('button', { name: 'Pinned messages' }).click();
  const pins = bob.page.getByRole('dialog', { name: 'Pinned messages' });
  await pins.getByText('Low water at six').waitFor();
  assert.equal(await pins.getByRole('button', { name: /^Unpin/ }).count(), 0, 'a member does not unpin');
  await look(bob, 'pinned-dark');
  await pins.getByRole('button', { name: /^Show/ }).click();
  await until('the message has the focus', () => bob.page.evaluate(() => document.activeElement?.textContent.includes('Low water')));

  const members = ada.page.getByRole('complementary', { name: 'Details' });
  await members.getByRole('button', { name: /Bob Kahn/ }).click();
  await ada.page.getByRole('menuitem', { name: 'Mute' }).click();
  await ada.page.getByRole('menuitem', { name: 'Mute for a day' }).click();
  await until('he may not write', () => bob.page.locator('#composer').isDisabled());
  assert.ok(await bob.page.getByRole('button', { name: 'Attach files' }).isDisabled());
  await panel(ada, 'Muted people');
  const muted = ada.page.getByRole('dialog', { name: 'Muted people' });
  await muted.getByText('Bob Kahn', { exact: true }).waitFor();
  await look(ada, 'muted-people');
  await muted.getByRole('button', { name: /^Lift/ }).click();
  await muted.getByText('Nobody is muted.').waitFor();
  await until('he may write', () => bob.page.locator('#composer').isEnabled());
  await close(ada);

  await members.getByRole('button', { name: /Bob Kahn/ }).click();
  await ada.page.getByRole('menuitem', { name: 'Hand the room over' }).click();
  await ada.page.getByRole('button', { name: 'Hand over', exact: true }).click();
  await bob.page.getByText('You own this room now').waitFor();
  await bob.page.getByRole('button', { name: 'Delete the room' }).waitFor();
  await until('it is no longer hers', async () => (await ada.page.getByRole('button', { name: 'Delete the room' }).count()) === 0);
});
