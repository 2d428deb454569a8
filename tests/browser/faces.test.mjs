/** Pictures of people and rooms: set, changed and removed; refused; seen by others everywhere a name is; asked for once. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, Person, Server, until } from './harness.mjs';
import { picture } from './made.mjs';

let browser;
let server;
let ada;
let bob;

before(async () => {
  server = await Server.start(['--set', 'media.avatar_bytes_max=64KiB', '--set', 'media.sweep_every=200ms']);
  browser = await openBrowser();
  ada = await Person.arrive(browser, server, { name: 'Ada Lovelace', user: 'ada' });
  bob = await Person.arrive(browser, server, { name: 'Bob Kahn', user: 'bob', width: 390, height: 844, scheme: 'dark', touch: true });
  await Promise.all([ada, bob].map((person) => person.signUp()));
  await ada.createRoom('Engine');
  await bob.joinRoom('Engine');
  await ada.say('Who has the drawings?');
  await bob.sees('Who has the drawings?');
});
after(async () => {
  for (const person of [ada, bob]) await person?.leave();
  await browser?.close();
  await server?.stop();
});

const look = async (person, name) => {
  await person.shot(name);
  await person.axe(name);
};
/** The tint of a picture that is drawn over the letters, or `undefined`. */
const tint = (place) => place.locator('.avatar').first().evaluate((face) => face.querySelector('canvas')?.getContext('2d').getImageData(80, 80, 1, 1).data[0]);
const painted = (what, place, red) => until(`${what} has ${red === undefined ? 'letters' : `the picture of tint ${red}`}`, async () => {
  const seen = await tint(place).catch(() => 'nothing');
  return red === undefined ? seen === undefined : Math.abs(seen - red) < 12;
});
const choose = (form, ...files) => form.locator('input[type="file"]').setInputFiles(files);
const profile = async (person) => {
  if (!(await person.page.getByRole('dialog', { name: 'Settings' }).isVisible())) await person.page.getByRole('button', { name: /your settings$/ }).click();
  await person.page.getByRole('button', { name: 'Edit your profile' }).click();
  return person.page.getByRole('dialog', { name: 'Your profile' });
};
const save = async (form) => {
  await form.getByRole('button', { name: 'Save' }).click();
  await form.waitFor({ state: 'detached' });
};
/** How many links to small pictures a person's page asks for. */
const links = (person) => {
  const asked = [];
  person.page.on('request', (request) => { if (/\/media\/[0-9a-f-]+\/link\?variant=1/.test(request.url())) asked.push(request.url()); });
  return asked;
};

test('what is no picture is refused in words, and giving it up changes nothing', async () => {
  const form = await profile(ada);
  await form.getByRole('button', { name: 'Choose a picture of you' }).waitFor();
  assert.equal(await form.getByRole('button', { name: 'Remove the picture' }).count(), 0, 'there is none to remove');
  await choose(form, { name: 'large.png', mimeType: 'image/png', buffer: Buffer.alloc(70_000) });
  await form.getByRole('alert').filter({ hasText: 'It is too large: a picture may have 66 KB.' }).waitFor();
  await choose(form, { name: 'report.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4') });
  await form.getByRole('alert').filter({ hasText: 'That is no picture that can be shown here.' }).waitFor();
  await choose(form, { name: 'fake.png', mimeType: 'image/png', buffer: Buffer.from('%PDF-1.4 and so on') });
  await form.getByRole('alert').filter({ hasText: 'What is in it is of another type than its name says.' }).waitFor();
  await look(ada, 'face-refused');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.locator('#dialog-error').filter({ hasText: 'What is in it is of another type' }).waitFor();
  // One that would do is given up with the form, and the server forgets it.
  await choose(form, picture('mine.png', 300, 300, 90));
  await form.getByText('It is set when you save.').waitFor();
  const gone = ada.page.waitForResponse((answer) => answer.request().method() === 'DELETE' && /\/media\//.test(answer.url()));
  await form.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await gone).status(), 204);
  assert.equal((await ada.ask('GET', '/me')).avatar ?? null, null);
  await painted('the profile', ada.page.locator('.profile'));
});

test('one sets a picture, with progress, and sees it everywhere', async () => {
  let hold;
  await ada.page.route(/\/content\?/, (route) => (route.request().method() === 'PUT' && !hold ? new Promise((resolve) => { hold = () => resolve(route.continue()); }) : route.continue()));
  const form = await profile(ada);
  await choose(form, picture('me.png', 500, 400, 200));
  await until('its bytes are on their way', () => hold);
  await form.getByRole('progressbar', { name: 'Sending the picture' }).waitFor();
  await painted('the form', form.locator('.picture-field'), 200);
  await look(ada, 'face-sending');
  // Whoever saves at once waits for it.
  await form.getByRole('button', { name: 'Save' }).click();
  await hold();
  await form.waitFor({ state: 'detached' });
  await ada.page.unroute(/\/content\?/);
  await painted('the profile', ada.page.locator('.profile'), 200);
  await look(ada, 'face-settings');
  await ada.page.getByRole('dialog', { name: 'Settings' }).getByRole('button', { name: 'Close' }).click();
  await painted('the head of the list', ada.page.locator('.me'), 200);
});

test('others see it beside the name, once for a run of messages, and ask for it once', async () => {
  const asked = links(bob);
  // Names are looked up again with a new page.
  await bob.page.reload();
  await bob.online();
  await ada.say('They were on the shelf');
  await ada.say('by the window');
  await bob.sees('by the window');
  await painted('the message', bob.row('Who has the drawings?'), 200);
  assert.equal(await bob.page.locator('.row .avatar').count(), 1, 'one for a run of messages');
  await look(bob, 'face-messages-phone-dark');
  await bob.page.getByRole('button', { name: 'Members', exact: true }).click();
  await painted('the list of members', bob.page.getByRole('button', { name: /Ada Lovelace/ }), 200);
  await look(bob, 'face-members-phone-dark');
  assert.ok(await bob.page.locator('.avatar').evaluateAll((faces) => faces.every((face) => face.getAttribute('aria-hidden') === 'true')), 'the name is heard once');
  await bob.page.getByRole('button', { name: 'Close details' }).click();
  await bob.page.getByRole('button', { name: 'Back to the list' }).click();
  await bob.message('ada');
  await painted('the head of the conversation', bob.page.locator('.heading'), 200);
  await bob.page.getByRole('button', { name: 'Details', exact: true }).click();
  await bob.page.getByRole('button', { name: 'Show the picture of Ada Lovelace' }).click();
  const viewer = bob.page.getByRole('dialog', { name: 'Ada Lovelace' });
  await until('it is shown large', () => viewer.locator('img').evaluate((image) => !image.hidden && image.naturalWidth === 500));
  await look(bob, 'face-large-phone');
  await bob.page.keyboard.press('Escape');
  await bob.page.getByRole('button', { name: 'Close details' }).click();
  await bob.page.getByRole('button', { name: 'Back to the list' }).click();
  await painted('the list', bob.page.getByRole('link', { name: /Ada Lovelace/ }), 200);
  await bob.menu('Message a person');
  await bob.page.getByLabel('User name').fill('ada');
  await painted('who is found', bob.page.getByRole('list', { name: 'People found' }), 200);
  await bob.page.keyboard.press('Escape');
  assert.equal(asked.length, 1, `one link for all of it: ${asked}`);
});

test('a room has a picture: in the list, its details, discovery, and the look before joining', async () => {
  await ada.page.getByRole('link', { name: /Engine/ }).click();
  await ada.page.getByRole('button', { name: 'Members', exact: true }).click();
  await ada.page.getByRole('button', { name: 'Edit the room' }).click();
  const form = ada.page.getByRole('dialog', { name: 'Edit the room' });
  await choose(form, picture('engine.png', 400, 400, 120));
  await form.getByText('It is set when you save.').waitFor();
  await look(ada, 'face-room-edit');
  await save(form);
  await painted('her list', ada.page.getByRole('link', { name: /Engine/ }), 120);
  await painted('the details', ada.page.getByRole('button', { name: 'Show the picture of Engine' }), 120);
  await painted('his list', bob.page.getByRole('link', { name: /Engine/ }), 120);
  await look(bob, 'face-rooms-phone-dark');
  const cyd = await Person.arrive(browser, server, { name: 'Cyd Nowak', user: 'cyd', width: 390, height: 844, touch: true });
  await cyd.signUp();
  await cyd.menu('Find a room');
  await cyd.page.getByLabel('Room name').fill('Engine');
  await painted('discovery', cyd.page.getByRole('listitem').filter({ hasText: 'Engine' }), 120);
  await look(cyd, 'face-discover-phone');
  await cyd.page.keyboard.press('Escape');
  // A private one shows it to whoever has a link.
  await ada.createRoom('Cellar', 'Private');
  await ada.page.getByRole('button', { name: 'Edit the room' }).click();
  await choose(form, picture('cellar.png', 200, 200, 60));
  await save(form);
  await ada.page.getByRole('button', { name: 'Invite by a link' }).click();
  await ada.page.getByRole('button', { name: 'Make a link' }).click();
  const address = await ada.page.getByLabel('The new link').inputValue();
  await ada.page.getByRole('dialog').getByRole('button', { name: 'Close', exact: true }).click();
  await cyd.page.goto(address);
  const invited = cyd.page.getByRole('dialog', { name: 'You are invited' });
  await painted('the look before joining', invited, 60);
  await look(cyd, 'face-invited-phone');
  await invited.getByRole('button', { name: 'Join', exact: true }).click();
  await painted('the head of the room', cyd.page.locator('.heading'), 60);
  await cyd.leave();
});

test('letters stand in for a picture that does not come, which is not asked for again and again', async () => {
  const asked = links(bob);
  const began = Date.now();
  let broken = 0;
  await bob.page.route(/\/content\?/, (route) => { broken++; return route.fulfill({ status: 200, contentType: 'image/png', body: 'no picture at all' }); });
  await bob.page.reload();
  await bob.online();
  await bob.page.getByRole('link', { name: /Engine/ }).click();
  await until('both were asked for', () => broken >= 2);
  await bob.page.getByRole('button', { name: 'Members', exact: true }).click();
  await bob.page.getByRole('button', { name: /Ada Lovelace/ }).waitFor();
  await painted('the list of members', bob.page.getByRole('button', { name: /Ada Lovelace/ }));
  assert.equal(await bob.page.getByRole('button', { name: /Ada Lovelace/ }).locator('.avatar').textContent(), 'AL');
  await ada.page.getByRole('link', { name: /Engine/ }).click();
  await ada.say('Every message draws the list anew');
  await bob.page.getByRole('button', { name: 'Close details' }).click();
  await bob.sees('Every message draws the list anew');
  // The room and ada, once each, and again only after half a minute.
  const most = 2 + 2 * Math.floor((Date.now() - began) / 30_000);
  assert.ok(asked.length <= most && broken <= most, `${asked.length} links, ${broken} files, of ${most}`);
  await bob.page.unroute(/\/content\?/);
});

test('one changes the picture and takes it away, and so does a room', async () => {
  await ada.page.getByRole('button', { name: 'Edit the room' }).click();
  const room = ada.page.getByRole('dialog', { name: 'Edit the room' });
  await room.getByRole('button', { name: 'Remove the picture' }).click();
  await room.getByText('It is removed when you save.').waitFor();
  await save(room);
  await painted('her list', ada.page.getByRole('link', { name: /Engine/ }));
  const form = await profile(ada);
  await form.getByRole('button', { name: 'Change the picture of you' }).waitFor();
  await choose(form, picture('other.png', 300, 300, 20));
  await form.getByText('It is set when you save.').waitFor();
  await form.getByRole('button', { name: 'Keep the old one' }).click();
  await painted('the form', form.locator('.picture-field'), 200);
  await choose(form, picture('third.png', 300, 300, 30));
  await save(form);
  await painted('the profile', ada.page.locator('.profile'), 30);
  // Whoever had the one before finds that it is gone, and asks who she is now.
  await bob.page.reload();
  await bob.online();
  await painted('the message', bob.row('Who has the drawings?'), 30);
  await painted('the head of the room', bob.page.locator('.heading'));
  await (await profile(ada)).getByRole('button', { name: 'Remove the picture' }).click();
  await save(form);
  await painted('the profile', ada.page.locator('.profile'));
  assert.equal((await ada.ask('GET', '/me')).avatar, null);
  // What was changed on another device is there when one looks.
  await ada.page.getByRole('dialog', { name: 'Settings' }).getByRole('button', { name: 'Close', exact: true }).click();
  await ada.ask('PATCH', '/me', { display_name: 'Ada King' });
  await ada.page.getByRole('button', { name: /your settings$/ }).click();
  await ada.page.locator('.profile').getByText('Ada King').waitFor();
  await ada.page.locator('.me').getByText('Ada King').waitFor();
});
