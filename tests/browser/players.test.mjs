/** Films and sound in messages: loaded when they are played, sought in, gone on with by a new link, and saved where they cannot be played. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, Person, Server, until } from './harness.mjs';
import { film, noFilm, wav } from './made.mjs';

let browser;
let server;
let ada;
let bob;
/** What bob's page asked for: links to whole files, and their bytes. */
const links = [];
const bytes = [];

before(async () => {
  server = await Server.start(['--set', 'media.file_bytes_max=64MiB']);
  browser = await openBrowser();
  ada = await Person.arrive(browser, server, { name: 'Ada Lovelace', user: 'ada' });
  bob = await Person.arrive(browser, server, { name: 'Bob Kahn', user: 'bob', width: 390, height: 844, scheme: 'dark', touch: true });
  await Promise.all([ada, bob].map((person) => person.signUp()));
  await ada.createRoom('Engine');
  await bob.joinRoom('Engine');
  bob.page.on('request', (request) => {
    if (/\/link\?variant=0/.test(request.url())) links.push(request.url());
    if (/\/content\?/.test(request.url())) bytes.push(request.url());
  });
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
const send = async (...files) => {
  await ada.page.locator('input[type="file"]').setInputFiles(files);
  const tray = ada.page.getByRole('list', { name: 'Files of this message' });
  await until('the files are there', async () => (await tray.getByRole('button', { name: /^Remove / }).count()) === files.length);
  await ada.page.getByRole('button', { name: 'Send', exact: true }).click();
  await tray.waitFor({ state: 'hidden' });
};
const button = (name) => bob.page.getByRole('button', { name: new RegExp(`^Play ${name}`) });
const medium = (name) => bob.page.locator(`[aria-label="${name}"]:is(audio, video)`);
const about = (name) => medium(name).evaluate(({ currentTime, paused, duration, error }) => ({ currentTime, paused, duration, error: error?.message }));
const plays = async (name, from = 0) => {
  let now;
  // The first sound of a browser waits for what plays it: a process that starts, and a device that may not be there.
  await until(`${name} plays`, async () => { now = await about(name); return !now.paused && now.currentTime > from; })
    .catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(now)}, ${await bob.page.locator('.player-said').allTextContents()}`); });
};

test('a sound is loaded when it is played, and heard, sought in and stopped by keys', async () => {
  // Longer than all that is done with it takes on a slow machine.
  await send(wav('tone.wav', 300));
  await button('tone.wav').waitFor();
  await look(bob, 'player-sound-phone-dark');
  assert.deepEqual([links.length, bytes.length], [0, 0], 'nothing is loaded before');
  await button('tone.wav').focus();
  const answered = bob.page.waitForResponse((answer) => /\/content\?/.test(answer.url()));
  await bob.page.keyboard.press('Enter');
  assert.equal((await answered).status(), 206, 'by ranges');
  await plays('tone.wav');
  assert.equal(Math.round((await about('tone.wav')).duration), 300);
  assert.ok(await medium('tone.wav').evaluate((element) => element === document.activeElement), 'it has the focus');
  await bob.page.keyboard.press('Space');
  await until('it stands still', async () => (await about('tone.wav')).paused);
  const { currentTime: before } = await about('tone.wav');
  await bob.page.keyboard.press('ArrowRight');
  await until('it is sought in by a key', async () => (await about('tone.wav')).currentTime > before + 1);
  const { currentTime: sought } = await about('tone.wav');
  await bob.page.keyboard.press('Space');
  await plays('tone.wav', sought);
  await look(bob, 'player-sound-plays-phone-dark');
  // Its row is made anew, and it goes on.
  await medium('tone.wav').evaluate((element) => { element.mark = true; });
  await ada.page.locator('.row.mine').last().focus();
  await ada.page.keyboard.press('+');
  await ada.page.getByLabel('Search emoji').fill('thumbs up');
  await ada.page.keyboard.press('Enter');
  await until('the row changed', async () => (await bob.page.locator('.reaction').count()) > 0);
  const now = await about('tone.wav');
  assert.ok(await medium('tone.wav').evaluate((element) => element.mark === true && element === document.activeElement), 'it is the same, and has the focus');
  await plays('tone.wav', now.currentTime);
  assert.equal(links.length, 1);
});

test('a film is seen, and one of both plays at a time', async () => {
  await send(await film(ada.page, 'colours.webm'));
  await button('colours.webm').click();
  await until('its picture is there', () => medium('colours.webm').evaluate((video) => video.videoWidth === 320 && video.currentTime > 0));
  await until('the sound is quiet', async () => (await about('tone.wav')).paused);
  await look(bob, 'player-film-phone-dark');
  await ada.page.getByRole('button', { name: /^Play colours\.webm/ }).click();
  await until('she sees it as well', () => ada.page.locator('video').evaluate((video) => video.videoWidth === 320));
  await look(ada, 'player-film');
  const [saved] = await Promise.all([bob.page.waitForEvent('download'), bob.page.getByRole('button', { name: 'Save colours.webm' }).click()]);
  assert.equal(saved.suggestedFilename(), 'colours.webm');
});

test('a link that ends meanwhile is asked for anew, and it goes on where it was', async () => {
  // So long that not all of it is loaded at once.
  await send(wav('long.wav', 300, { rate: 44_100 }));
  const old = new Set();
  let over = false;
  let ends = 0;
  await bob.page.route(/\/link\?variant=0/, async (route) => {
    const answer = await route.fetch();
    const link = await answer.json();
    if (over) return route.fulfill({ response: answer, json: link });
    // The first one is worth nothing, those after it soon.
    ends = Date.now() + 5_000;
    const given = { url: old.size ? link.url : link.url.replace(/signature=[^&]*/, 'signature=none'), ends };
    old.add(given.url);
    return route.fulfill({ response: answer, json: given });
  });
  await bob.page.route(/\/content\?/, (route) => {
    const { pathname, search } = new URL(route.request().url());
    return over && old.has(pathname + search) ? route.fulfill({ status: 404, contentType: 'application/json', body: '{}' }) : route.continue();
  });
  await button('long.wav').click();
  await plays('long.wav');
  assert.ok(old.size >= 2, 'the one that did not work was asked for again');
  await until('the link is over', () => Date.now() > ends);
  over = true;
  const before = links.length;
  await medium('long.wav').evaluate((sound) => { sound.currentTime = 280; });
  await until('it goes on there', async () => { const now = await about('long.wav'); return !now.paused && now.currentTime > 280 && !now.error; });
  assert.ok(links.length - before >= 1 && links.length - before <= 2, `${links.length - before} links more`);
  await bob.page.unroute(/\/content\?/);
  await bob.page.unroute(/\/link\?variant=0/);
});

test('what this browser cannot play is saved, and what turns out to be broken says so', async () => {
  await send(noFilm('old.mov', 'video/quicktime', 'qt  '));
  await bob.page.getByRole('button', { name: /^Save old\.mov/ }).waitFor();
  assert.equal(await button('old.mov').count(), 0);
  await send(noFilm('broken.mp4', 'video/mp4', 'isom'));
  await button('broken.mp4').click();
  await bob.page.getByText('This browser cannot play it. Save it, and open it with another program.').waitFor();
  await button('broken.mp4').waitFor();
  await bob.page.getByRole('button', { name: 'Save broken.mp4' }).waitFor();
  await look(bob, 'player-broken-phone-dark');
  // A film that is deleted goes, also while it plays.
  await button('colours.webm').waitFor({ state: 'hidden' });
  const row = ada.page.locator('.row', { has: ada.page.locator('video') });
  await row.focus();
  await ada.page.keyboard.press('Delete');
  await ada.page.getByRole('button', { name: 'Delete', exact: true }).click();
  await medium('colours.webm').waitFor({ state: 'detached' });
});
