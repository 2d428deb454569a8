/** What people do, on every kind of screen. Every screen is photographed and shown to axe. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, Person, Server, sleep, until } from './harness.mjs';

let browser;
let server;
let ada;
let bob;
let cyd;

before(async () => {
  server = await Server.start();
  browser = await openBrowser();
  ada = await Person.arrive(browser, server, { name: 'Ada Lovelace', user: 'ada' });
  bob = await Person.arrive(browser, server, { name: 'Bob Kahn', user: 'bob', scheme: 'dark' });
  cyd = await Person.arrive(browser, server, { name: 'Cyd Nowak', user: 'cyd', width: 390, height: 844, touch: true });
});
after(async () => {
  for (const person of [ada, bob, cyd]) await person?.leave();
  await browser?.close();
  await server?.stop();
});

/** A picture and axe's opinion of a screen. */
const look = async (person, name, page = person.page) => {
  await person.shot(name, page);
  await person.axe(name, page);
};

test('the page allows nothing but itself', async () => {
  const answer = await fetch(server.url);
  const policy = answer.headers.get('content-security-policy');
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|https?:|\*/);
  assert.match(answer.headers.get('content-type'), /text\/html/);
  const page = await answer.text();
  assert.doesNotMatch(page, /\sstyle=|<style|<script>|\son\w+=|https?:\/\//);
  const script = await fetch(`${server.url}/assets/app/main.js`);
  assert.match(script.headers.get('content-type'), /javascript/);
});

test('a number that is none and a wrong code say what to do', async () => {
  const { page } = ada;
  await page.goto(server.url);
  await page.getByLabel('Phone number').fill('12');
  await page.getByRole('button', { name: 'Send the code' }).click();
  await page.getByRole('alert').filter({ hasText: 'That is not a phone number' }).waitFor();
  await look(ada, 'signin-wrong-number');
  await page.getByLabel('Phone number').fill(ada.phone);
  await page.getByRole('button', { name: 'Send the code' }).click();
  await page.getByLabel('Six-digit code').waitFor();
  const right = await server.code(ada.phone);
  await page.getByLabel('Six-digit code').fill(right === '000000' ? '000001' : '000000');
  await page.getByRole('alert').filter({ hasText: 'That code is not right' }).waitFor();
  await look(ada, 'signin-wrong-code');
  await page.getByLabel('Six-digit code').fill(right);
  await page.getByLabel('Your name').fill(ada.name);
  assert.equal(await page.getByLabel('User name').inputValue(), 'ada.lovelace', 'a user name is proposed');
  await page.getByLabel('User name').fill('a!');
  await page.getByRole('button', { name: 'Start chatting' }).click();
  await page.getByRole('alert').filter({ hasText: '3 to 32 letters' }).waitFor();
  await page.getByLabel('User name').fill(ada.user);
  await page.getByRole('button', { name: 'Start chatting' }).click();
  await ada.online();
  await page.getByRole('heading', { name: 'No conversations yet' }).waitFor();
  await look(ada, 'empty-light');
});

test('people sign up on every kind of screen', async () => {
  const asked = [];
  cyd.page.on('response', (answer) => { if (/\/v1\/users/.test(answer.url())) asked.push(`${answer.status()} ${answer.url()}`); });
  await bob.signUp(async (screen) => {
    if (screen === 'name') {
      const { page } = bob;
      await page.getByLabel('User name').fill('ADA');
      await page.getByRole('status').filter({ hasText: 'Somebody is called ADA already' }).waitFor();
      await look(bob, 'signin-name-taken-dark');
      await page.getByLabel('User name').fill('bob');
      await page.getByRole('status').filter({ hasText: 'bob is free' }).waitFor();
    }
    await look(bob, `signin-${screen}-dark`);
  });
  await look(bob, 'empty-dark');
  await cyd.signUp((screen) => look(cyd, `signin-${screen}-phone`));
  await look(cyd, 'empty-phone');
  // Who one is is known: it is asked for once, as all profiles are that may have changed. What the form asked is over with the form.
  assert.deepEqual(asked.filter((one) => !one.startsWith('200 ')), []);
  assert.ok(asked.filter((one) => /\?ids=/.test(one)).length <= 1, String(asked));
});

test('they create and join a room, and talk both ways', async () => {
  await ada.menu('Create a room');
  await look(ada, 'create-room');
  await ada.page.keyboard.press('Escape');
  await ada.createRoom('Analytical Engine');
  await ada.menu('Create a room');
  await ada.page.getByLabel('Room name').fill('analytical ENGINE');
  const line = ada.page.getByRole('dialog').getByRole('status');
  await line.filter({ hasText: 'Another room has this name' }).waitFor();
  await look(ada, 'create-room-taken');
  await ada.page.getByRole('radio', { name: 'Private' }).check();
  await until('a private room may have it', async () => !(await line.allTextContents()).join('').trim());
  await ada.page.getByRole('radio', { name: 'By invitation' }).check();
  await line.filter({ hasText: 'Another room has this name' }).waitFor();
  await ada.page.keyboard.press('Escape');
  await bob.menu('Join a room');
  await bob.page.getByLabel('Room name').fill('No such room');
  await bob.page.getByRole('button', { name: 'Join', exact: true }).click();
  await bob.page.getByRole('alert').filter({ hasText: 'There is no room of that name' }).waitFor();
  await look(bob, 'join-room-dark');
  await bob.page.keyboard.press('Escape');
  await bob.joinRoom('analytical ENGINE');
  // However one wrote it, a room has its own name.
  await bob.page.getByRole('heading', { level: 1, name: 'Analytical Engine', exact: true }).waitFor({ state: 'attached' });
  await cyd.joinRoom('Analytical Engine');
  const talk = [[ada, 'Good morning! Has anyone looked at the new gear train?'], [ada, 'The drawings are on the shelf by the window.'],
    [bob, 'Yes. The third carry takes too long.\nhttps://example.org/carry_(lookahead). is the idea.'], [cyd, '👏'], [cyd, 'That would halve the time for long sums'],
    [ada, '<b>Exactly</b> what I hoped you would say. Let us try it on the Bernoulli numbers first; every step depends on the one before, so nothing can hide.'], [bob, 'I can have it ready on Thursday']];
  for (const [person, text] of talk) {
    await person.say(text);
    for (const other of [ada, bob, cyd]) await other.sees(text.split('\n')[0]);
  }
  const texts = talk.map(([, text]) => text);
  for (const person of [ada, bob, cyd]) assert.deepEqual(await person.texts(), texts);
  const link = ada.page.getByRole('link', { name: 'https://example.org/carry_(lookahead)' });
  assert.deepEqual([await link.getAttribute('href'), await link.getAttribute('rel')], ['https://example.org/carry_(lookahead)', 'noopener noreferrer nofollow']);
});

test('they see each other type', async () => {
  // It shows for some seconds only.
  await Promise.all([
    ...[ada, cyd].map((person) => person.page.locator('.typing-line', { hasText: 'Bob Kahn is typing' }).waitFor()),
    bob.page.locator('#composer').pressSequentially('I was thin'),
  ]);
  await look(ada, 'typing-light');
  await look(cyd, 'room-phone');
  await bob.page.locator('#composer').fill('');
  await until('it stops', async () => (await ada.page.locator('.typing-line').textContent()) === '');
});

test('own messages tell when they were delivered and read', async () => {
  // Cyd looks at the list: the message is delivered there, and Bob reads it.
  await cyd.page.getByRole('button', { name: 'Back to the list' }).click();
  await ada.say('Who brings the cards?');
  await ada.row('Who brings the cards?').locator('.tick-read').waitFor();
  await cyd.page.locator('.room .badge', { hasText: '1' }).waitFor();
  await cyd.page.waitForFunction(() => document.title.startsWith('(1) '));
  await look(cyd, 'list-unread-phone');
  await ada.row('Who brings the cards?').locator('.bubble').click({ button: 'right' });
  await look(ada, 'message-menu');
  await ada.page.getByRole('menuitem', { name: 'Delivered and read' }).click();
  const dialog = ada.page.getByRole('dialog', { name: 'Delivered and read' });
  await dialog.getByText('Read by 1 person').waitFor();
  await dialog.getByText('Delivered to 1 person').waitFor();
  await look(ada, 'reach');
  await ada.page.keyboard.press('Escape');
  await cyd.page.getByRole('link', { name: /Analytical Engine/ }).click();
  await cyd.page.locator('.divider', { hasText: '1 unread message' }).waitFor();
  await until('the badge goes', async () => !(await cyd.page.title()).startsWith('('));
});

test('they reply, react, edit and delete', async () => {
  await bob.row('Who brings the cards?').hover();
  await look(bob, 'hover-dark');
  await bob.row('Who brings the cards?').getByRole('button', { name: 'Reply' }).click();
  await look(bob, 'replying-dark');
  await bob.say('I shall.');
  await ada.row('I shall.').getByRole('button', { name: /Show the message this answers/ }).click();
  await until('the quoted message has the focus', () => ada.page.evaluate(() => document.activeElement?.textContent.includes('Who brings the cards?')));
  await ada.row('I shall.').locator('.bubble').click({ button: 'right' });
  await ada.page.getByRole('menuitemcheckbox', { name: '👍' }).click();
  await bob.row('I shall.').getByRole('button', { name: /👍, 1: Ada Lovelace/ }).click();
  await ada.row('I shall.').getByRole('button', { name: /👍, 2/ }).waitFor();
  await bob.page.locator('#composer').press('ArrowUp');
  assert.equal(await bob.page.locator('#composer').inputValue(), 'I shall.');
  await bob.say('I shall, and the tape.');
  await ada.row('I shall, and the tape.').getByText('edited').waitFor();
  await bob.said('This was a mistake');
  await ada.sees('This was a mistake');
  await bob.row('This was a mistake').locator('.bubble').click({ button: 'right' });
  await bob.page.getByRole('menuitem', { name: 'Delete' }).click();
  await look(bob, 'delete-dark');
  await bob.page.getByRole('button', { name: 'Delete', exact: true }).click();
  await ada.sees('This message was deleted');
  await bob.sees('You deleted this message');
  await look(ada, 'room-light');
  await look(bob, 'room-dark');
  for (const person of [ada, bob, cyd]) await until('no own change waits', async () => (await person.page.locator('.tick-waiting').count()) === 0);
});

test('the panel of a room lists its members', async () => {
  await ada.page.getByRole('button', { name: 'Members', exact: true }).click();
  const panel = ada.page.getByRole('complementary', { name: 'Details' });
  for (const name of ['Ada Lovelace', 'Bob Kahn', 'Cyd Nowak']) await panel.getByText(name, { exact: false }).first().waitFor();
  await panel.getByText('owner').waitFor();
  await look(ada, 'members-light');
  await panel.getByRole('button', { name: /Bob Kahn/ }).click();
  await look(ada, 'member-menu');
  await ada.page.keyboard.press('Escape');
  await ada.page.getByRole('button', { name: 'Close details' }).click();
  await cyd.page.getByRole('button', { name: 'Members', exact: true }).click();
  await cyd.page.getByText('@bob').waitFor();
  await look(cyd, 'members-phone');
  await cyd.page.getByRole('button', { name: 'Close details' }).click();
});

test('a conversation of two by user name appears on the other side, unread', async () => {
  await bob.menu('Message a person');
  await bob.page.getByLabel('User name').fill('nobody.at.all');
  await bob.page.getByRole('button', { name: 'Start', exact: true }).click();
  await bob.page.getByRole('alert').filter({ hasText: 'Nobody has that user name' }).waitFor();
  await bob.page.getByLabel('User name').fill('ADA');
  await bob.page.getByRole('button', { name: 'Start', exact: true }).click();
  await bob.page.getByRole('heading', { level: 1, name: 'Ada Lovelace' }).waitFor({ state: 'attached' });
  await bob.say('Are you coming tonight?');
  const link = ada.page.getByRole('link', { name: /Bob Kahn.*Are you coming tonight/ });
  await link.locator('.badge', { hasText: '1' }).waitFor();
  await bob.row('Are you coming tonight?').locator('.tick-delivered').waitFor();
  await look(ada, 'list-light');
  await link.click();
  await bob.row('Are you coming tonight?').locator('.tick-read').waitFor();
  await ada.page.locator('.about', { hasText: 'online' }).waitFor();
  await ada.say('Yes!');
  await bob.sees('Yes!');
  await look(bob, 'direct-dark');
});

test('the past is loaded by scrolling, and the position stays', async () => {
  await ada.createRoom('Archive');
  const { page } = ada;
  for (let i = 0; i < 180; i++) await ada.say(`Entry number ${i}`);
  await until('all are sent', async () => (await page.locator('.tick-waiting').count()) === 0, 180_000);
  await page.reload();
  await ada.online();
  await ada.sees('Entry number 179');
  const shown = await page.locator('.row').count();
  assert.ok(shown < 180, `${shown} rows at first`);
  // Scroll up in steps; what is in sight must not move when older messages come in above it.
  const timeline = page.locator('.timeline');
  for (let step = 0; step < 400 && !(await page.getByText('This is the beginning of Archive').isVisible()); step++) {
    const at = await timeline.evaluate(async (element) => {
      element.scrollTop = Math.max(0, element.scrollTop - 400);
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const row = [...element.querySelectorAll('.row')].find((one) => one.getBoundingClientRect().top >= element.getBoundingClientRect().top);
      return { text: row.querySelector('.text').textContent, top: row.getBoundingClientRect().top };
    });
    await sleep(150);
    const top = await page.locator('.row', { has: page.locator('.text', { hasText: new RegExp(`^${at.text}$`) }) }).evaluate((row) => row.getBoundingClientRect().top);
    assert.ok(Math.abs(top - at.top) <= 2, `${at.text} moved from ${at.top} to ${top}`);
  }
  assert.deepEqual(await ada.texts(), Array.from({ length: 180 }, (_, i) => `Entry number ${i}`));
  await look(ada, 'history-light');
  const jump = page.getByRole('button', { name: 'Jump to the newest message' });
  await jump.click();
  await jump.waitFor({ state: 'hidden' });
  assert.ok(await ada.row('Entry number 179').isVisible());
});

test('a message that comes while one reads the past does not move it', async () => {
  await bob.joinRoom('Archive');
  await ada.page.getByText('Bob Kahn joined').waitFor();
  // What is drawn meanwhile may put it back to the end: it is in the past when there is a way back.
  const timeline = ada.page.locator('.timeline');
  const jump = ada.page.getByRole('button', { name: /^Jump to the newest/ });
  await until('it is scrolled', async () => {
    if (!(await jump.isVisible())) await timeline.evaluate((element) => { element.scrollTop = element.scrollHeight - element.clientHeight - 900; });
    return jump.isVisible();
  });
  const before = await timeline.evaluate((element) => element.scrollTop);
  await bob.say('Anybody here?');
  await ada.page.getByRole('button', { name: 'Jump to the newest message, 1 unread' }).waitFor();
  const afterwards = await timeline.evaluate((element) => element.scrollTop);
  assert.ok(Math.abs(before - afterwards) <= 2);
  await look(ada, 'jump-light');
  await jump.click();
  await bob.row('Anybody here?').locator('.tick-read').waitFor();
});

test('drafts are kept per conversation, and shown in the list', async () => {
  await ada.page.locator('#composer').fill('Not finished yet');
  await ada.page.getByRole('link', { name: /Analytical Engine/ }).click();
  await ada.page.getByRole('link', { name: /Archive.*Draft: Not finished yet/ }).waitFor();
  assert.equal(await ada.page.locator('#composer').inputValue(), '');
  await ada.page.reload();
  await ada.page.getByRole('link', { name: /Archive.*Draft/ }).click();
  await until('the draft is back', async () => (await ada.page.locator('#composer').inputValue()) === 'Not finished yet');
  await ada.page.locator('#composer').fill('');
});

test('everything is reached by keyboard', async () => {
  const { page } = ada;
  await page.keyboard.press('Control+k');
  await page.keyboard.type('analyt');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Analytical Engine' }).waitFor({ state: 'attached' });
  await until('the field has the focus', () => page.evaluate(() => document.activeElement.id === 'composer'));
  await page.keyboard.press('Shift+Tab');
  for (let i = 0; i < 8 && !(await page.evaluate(() => document.activeElement.classList.contains('row'))); i++) await page.keyboard.press('Shift+Tab');
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains('row')), 'a message has the focus');
  await look(ada, 'keyboard-message');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await page.getByRole('menuitem', { name: 'Reply' }).waitFor();
  await page.keyboard.press('Escape');
  await until('the focus is back', () => page.evaluate(() => document.activeElement.classList.contains('row')));
  await page.keyboard.press('r');
  await page.getByText(/^Reply to/).waitFor();
  await page.keyboard.press('Escape');
  await page.getByText(/^Reply to/).waitFor({ state: 'hidden' });
  await page.keyboard.press('Alt+ArrowUp');
  await until('the conversation above is open', async () => !(await page.getByRole('heading', { level: 1, name: 'Analytical Engine' }).count()));
  await page.keyboard.press('Control+/');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  await look(ada, 'keyboard-list');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Alt+n');
  await page.getByRole('menuitem', { name: 'Message a person' }).waitFor();
  await look(ada, 'new-menu');
  await page.keyboard.press('Escape');
});

test('emoji are searched by name', async () => {
  await bob.page.getByRole('button', { name: 'Emoji' }).click();
  await look(bob, 'emoji-dark');
  await bob.page.getByRole('searchbox', { name: 'Search emoji' }).fill('rocket');
  await bob.page.keyboard.press('Enter');
  await until('it is in the field', async () => (await bob.page.locator('#composer').inputValue()) === '🚀');
  await bob.page.locator('#composer').fill('');
});

test('settings change the theme at once, and it stays', async () => {
  const { page } = ada;
  const background = () => page.evaluate(() => getComputedStyle(document.querySelector('.sidebar')).backgroundColor);
  const light = await background();
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByText('This browser').waitFor();
  await look(ada, 'settings-light');
  await page.getByText('Dark', { exact: true }).click();
  await look(ada, 'settings-dark');
  assert.notEqual(await background(), light);
  await page.reload();
  await ada.online();
  assert.notEqual(await background(), light);
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByText('System', { exact: true }).click();
  await page.keyboard.press('Escape');
  assert.equal(await background(), light);
});

test('a profile changes, and people are found by the beginnings of their names', async () => {
  const { page } = ada;
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByRole('button', { name: 'Edit your profile' }).click();
  const form = page.getByRole('dialog', { name: 'Your profile' });
  await form.getByLabel('User name').fill('bob');
  await form.getByRole('status').filter({ hasText: 'Somebody is called bob already' }).waitFor();
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByRole('alert').filter({ hasText: 'That name is taken' }).waitFor();
  await look(ada, 'profile-name-taken');
  await form.getByLabel('User name').fill('ada');
  await form.getByLabel('Your name').fill('Ada King');
  await form.getByLabel('About you').fill('I count.\nAnd I write.');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.waitFor({ state: 'detached' });
  await page.getByRole('dialog', { name: 'Settings' }).getByText('Ada King').waitFor();
  await page.getByRole('dialog', { name: 'Settings' }).getByText('And I write.').waitFor();
  await look(ada, 'settings-profile');
  await page.keyboard.press('Escape');
  await page.locator('.me-name', { hasText: 'Ada King' }).waitFor();
  // Others see it when they connect again.
  await bob.page.reload();
  await bob.online();
  await bob.page.getByRole('link', { name: /Ada King/ }).waitFor();
  await bob.menu('Message a person');
  await bob.page.getByLabel('User name').fill('KING');
  await bob.page.getByRole('button', { name: 'Ada King @ada' }).waitFor();
  await look(bob, 'find-person-dark');
  await bob.page.getByLabel('User name').fill('zzzz');
  await bob.page.getByRole('status').filter({ hasText: 'Nobody is found by that' }).waitFor();
  await bob.page.getByLabel('User name').fill('king');
  await bob.page.getByRole('button', { name: 'Ada King @ada' }).click();
  await bob.page.getByRole('heading', { level: 1, name: 'Ada King' }).waitFor({ state: 'attached' });
  await bob.page.keyboard.press('Alt+i');
  await bob.page.getByRole('complementary', { name: 'Details' }).getByText('And I write.').waitFor();
  await look(bob, 'contact-dark');
  await bob.page.keyboard.press('Alt+i');
});

test('privacy: who hides is not found and not seen, and who is blocked is on a list', async () => {
  const { page } = ada;
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Settings' });
  await dialog.getByLabel('People find me by my name').uncheck();
  await dialog.getByLabel('Show when I am online').uncheck();
  await until('both are kept', () => dialog.getByRole('switch', { disabled: false }).count().then((count) => count >= 4));
  await look(ada, 'settings-privacy');
  await page.keyboard.press('Escape');
  await bob.page.locator('.about', { hasText: 'online' }).waitFor({ state: 'detached' });
  await bob.menu('Message a person');
  await bob.page.getByLabel('User name').fill('ada king');
  await bob.page.getByRole('status').filter({ hasText: 'Nobody is found by that' }).waitFor();
  await bob.page.keyboard.press('Escape');
  // A block, and its end, on the list.
  await bob.page.keyboard.press('Alt+i');
  await bob.page.getByRole('button', { name: 'Block', exact: true }).click();
  await bob.page.getByRole('dialog').getByRole('button', { name: 'Block', exact: true }).click();
  await bob.page.getByText('Ada King is blocked').waitFor();
  await bob.page.keyboard.press('Alt+i');
  await bob.page.getByRole('button', { name: 'Settings', exact: true }).click();
  await bob.page.getByRole('button', { name: 'People you block' }).click();
  const blocked = bob.page.getByRole('dialog', { name: 'People you block' });
  await blocked.getByText('Ada King').waitFor();
  await look(bob, 'blocked-dark');
  await blocked.getByRole('button', { name: 'Unblock Ada King' }).click();
  await blocked.getByText('You block nobody.').waitFor();
  await bob.page.keyboard.press('Escape');
  await bob.page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await dialog.getByLabel('People find me by my name').check();
  await dialog.getByLabel('Show when I am online').check();
  await page.keyboard.press('Escape');
  await bob.page.locator('.about', { hasText: 'online' }).waitFor();
});

test('privacy: who may begin a conversation is chosen', async () => {
  const { page } = ada;
  const dialog = page.getByRole('dialog', { name: 'Settings' });
  const choose = async (from, to) => {
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    const choice = dialog.getByLabel('Who can start a conversation with me');
    assert.equal(await choice.inputValue(), from);
    const kept = page.waitForResponse((answer) => answer.url().endsWith('/v1/me/privacy') && answer.request().method() === 'PUT');
    await choice.selectOption(to);
    assert.equal((await (await kept).json()).direct_from, to);
    await page.keyboard.press('Escape');
  };
  await choose('everyone', 'nobody');
  await page.reload();
  await choose('nobody', 'everyone');
});

test('a conversation is muted, and deleted for oneself', async () => {
  const { page } = ada;
  const link = page.getByRole('link', { name: /Bob Kahn/ });
  await link.click();
  await page.keyboard.press('Alt+i');
  const details = page.getByRole('complementary', { name: 'Details' });
  await details.getByRole('button', { name: 'Notifications' }).click();
  await look(ada, 'notifications-menu');
  await page.getByRole('menuitem', { name: 'Mute for a day' }).click();
  await details.getByRole('button', { name: /^Muted until/ }).waitFor();
  await page.getByRole('link', { name: /Bob Kahn ?, muted/ }).waitFor();
  await page.reload();
  await page.getByRole('link', { name: /Bob Kahn ?, muted/ }).click();
  await look(ada, 'muted');
  await page.keyboard.press('Alt+i');
  await details.getByRole('button', { name: /^Muted until/ }).click();
  await page.getByRole('menuitem', { name: 'Unmute', exact: true }).click();
  await details.getByRole('button', { name: 'Notifications' }).waitFor();
  // It goes, on the other device too, and the other side keeps it.
  const second = await ada.newPage();
  await second.goto(server.url);
  await second.getByRole('link', { name: /Bob Kahn/ }).waitFor();
  await details.getByRole('button', { name: 'Delete for me' }).click();
  await look(ada, 'delete-for-me');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await link.waitFor({ state: 'detached' });
  await second.getByRole('link', { name: /Bob Kahn/ }).waitFor({ state: 'detached' });
  await second.close();
  await page.reload();
  await page.getByRole('link', { name: /Analytical Engine/ }).waitFor();
  await until('the list is the server\u2019s', () => page.evaluate(() => document.querySelector('.ghost') === null));
  await until('it stays away', async () => (await link.count()) === 0);
  await bob.sees('Are you coming tonight?');
  await bob.say('It begins anew');
  await link.locator('.badge', { hasText: '1' }).waitFor();
  await link.click();
  await ada.sees('It begins anew');
  assert.equal(await ada.row('Are you coming tonight?').count(), 0);
});

test('on a phone there is one thing at a time, and back goes back', async () => {
  const { page } = cyd;
  await page.evaluate(() => document.activeElement?.blur());
  await page.getByRole('button', { name: 'Back to the list' }).click();
  await page.locator('.conversation').waitFor({ state: 'hidden' });
  await look(cyd, 'list-phone');
  await page.getByRole('link', { name: /Analytical Engine/ }).click();
  await page.locator('.sidebar').waitFor({ state: 'hidden' });
  await page.goBack();
  await page.locator('.sidebar').waitFor();
  await page.goForward();
  await cyd.row('Who brings the cards?').locator('.bubble').click({ button: 'right' });
  await look(cyd, 'menu-phone');
  await page.keyboard.press('Escape');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(wide, 390, 'nothing hangs over the edge');
  // A long dialog keeps its title, and the way out, in sight.
  await page.goBack();
  await page.getByRole('button', { name: /your settings$/ }).click();
  const long = page.getByRole('dialog', { name: 'Settings' });
  await long.getByRole('button', { name: 'Sign out', exact: true }).scrollIntoViewIfNeeded();
  await until('it is scrolled', () => long.evaluate((dialog) => dialog.scrollTop > 100));
  await look(cyd, 'settings-end-phone');
  const { top, bottom } = await long.getByRole('button', { name: 'Close', exact: true }).evaluate((button) => button.getBoundingClientRect());
  assert.ok(top >= 0 && bottom <= 844, `the way out is at ${top}`);
  await long.getByRole('button', { name: 'Close', exact: true }).click();
  await long.waitFor({ state: 'detached' });
});

test('a room is edited, closed for posting, somebody banned and let back in, and deleted', async () => {
  await ada.createRoom('Notice Board');
  await bob.joinRoom('notice board');
  await bob.say('What is this for?');
  await ada.sees('What is this for?');
  const { page } = ada;
  await page.getByRole('button', { name: 'Members', exact: true }).click();
  const panel = page.getByRole('complementary', { name: 'Details' });
  await panel.getByRole('button', { name: 'Edit the room' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Description').fill('News only.\nQuestions go elsewhere.');
  await dialog.getByLabel(/Members at most/).fill('1');
  await dialog.getByText('Only moderators post').click();
  await look(ada, 'edit-room');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByRole('alert').filter({ hasText: 'below the number of members' }).waitFor();
  await dialog.getByLabel(/Members at most/).fill('20');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await panel.getByText('Questions go elsewhere.').waitFor();
  await look(ada, 'room-about');
  await bob.page.getByPlaceholder('Only moderators post here').waitFor();
  assert.ok(await bob.page.getByLabel('Message', { exact: true }).isDisabled());
  await look(bob, 'read-only-dark');
  await bob.page.reload();
  await bob.online();
  await bob.page.getByPlaceholder('Only moderators post here').waitFor();

  await panel.getByRole('button', { name: /Bob Kahn/ }).click();
  await page.getByRole('menuitem', { name: 'Ban' }).click();
  await Promise.all([bob.page.getByText('You were banned from Notice Board').waitFor(), page.getByRole('button', { name: 'Ban', exact: true }).click()]);
  await panel.getByRole('button', { name: 'Banned people' }).click();
  const banned = page.getByRole('dialog', { name: 'Banned people' });
  await banned.getByText('Bob Kahn', { exact: true }).waitFor();
  await look(ada, 'banned-people');
  await banned.getByRole('button', { name: 'Lift' }).click();
  await banned.getByText('Bob Kahn', { exact: true }).waitFor({ state: 'detached' });
  await page.keyboard.press('Escape');
  await bob.joinRoom('Notice Board');

  await panel.getByRole('button', { name: 'Delete the room' }).click();
  await look(ada, 'delete-room');
  await Promise.all([bob.page.getByText('Notice Board was deleted by Ada King').waitFor(), page.getByRole('button', { name: 'Delete', exact: true }).click()]);
  await page.getByRole('link', { name: /Notice Board/ }).waitFor({ state: 'detached' });
  await bob.page.getByRole('link', { name: /Notice Board/ }).waitFor({ state: 'detached' });
});
