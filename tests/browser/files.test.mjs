/** Files in messages: attached, dropped, pasted, refused, cancelled; seen by members and by nobody else. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { picture } from './made.mjs';
import { openBrowser, Person, Server, until } from './harness.mjs';

let browser;
let server;
let ada;
let bob;

const document = (name, text = 'a report', mimeType = 'application/pdf') => ({ name, mimeType, buffer: Buffer.from(mimeType === 'application/pdf' ? `%PDF-1.4\n% ${text}\n%%EOF\n` : text) });

before(async () => {
  server = await Server.start(['--set', 'media.file_bytes_max=64KiB', '--set', 'media.sweep_every=200ms']);
  browser = await openBrowser();
  ada = await Person.arrive(browser, server, { name: 'Ada Lovelace', user: 'ada' });
  bob = await Person.arrive(browser, server, { name: 'Bob Kahn', user: 'bob', width: 360, height: 740, scheme: 'dark', touch: true });
  await Promise.all([ada, bob].map((person) => person.signUp()));
  await ada.createRoom('Engine');
  await bob.joinRoom('Engine');
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
const attach = (person, ...files) => person.page.locator('input[type="file"]').setInputFiles(files);
const tray = (person) => person.page.getByRole('list', { name: 'Files of this message' });
const there = (person, number) => until(`${number} files are there`, async () => (await tray(person).getByRole('button', { name: /^Remove / }).count()) === number);
const send = (person) => person.page.getByRole('button', { name: 'Send', exact: true }).click();
/** A picture of a message, once its bytes are on the screen. */
const shown = async (person, name) => {
  const button = person.page.getByRole('button', { name: `Open the picture ${name}` });
  await button.waitFor();
  await until(`${name} is shown`, () => button.locator('img').evaluate((image) => image.complete && image.naturalWidth > 0));
  return button;
};

test('a picture and a document are sent with words, and seen on the other side and after a reload', async () => {
  await attach(ada, picture('plan.png', 1600, 900), document('report.pdf'));
  await there(ada, 2);
  await ada.page.locator('#composer').fill('The plan and the report');
  await look(ada, 'files-attached');
  await send(ada);
  await tray(ada).waitFor({ state: 'hidden' });
  await shown(ada, 'plan.png');
  await look(ada, 'files-sent');
  for (const again of [false, true]) {
    if (again) { await bob.page.reload(); await bob.online(); }
    await bob.sees('The plan and the report');
    const button = await shown(bob, 'plan.png');
    // The small picture, not the file.
    assert.equal(await button.locator('img').evaluate((image) => image.naturalWidth), 320);
    if (again) continue;
    await look(bob, 'files-seen-phone-dark');
    await button.click();
    const viewer = bob.page.getByRole('dialog', { name: 'plan.png' });
    await viewer.getByText('1600 × 900').waitFor();
    await until('it is shown larger', () => viewer.locator('img').evaluate((image) => !image.hidden && image.naturalWidth === 1280));
    await look(bob, 'picture-phone');
    await bob.page.keyboard.press('Escape');
    await viewer.waitFor({ state: 'detached' });
    assert.ok(await button.evaluate((element) => element === element.ownerDocument.activeElement), 'the focus is where it was');
    const [saved] = await Promise.all([bob.page.waitForEvent('download'), bob.page.getByRole('button', { name: /Save report\.pdf,? PDF/ }).click()]);
    assert.equal(saved.suggestedFilename(), 'report.pdf');
    assert.deepEqual(readFileSync(await saved.path()), document('report.pdf').buffer);
  }
});

test('pictures are dropped and pasted and go without words, and a link that does not work is asked for again', async () => {
  const bytes = [...picture('drawn.png', 90, 60, 200).buffer];
  await ada.page.evaluate(({ bytes: list }) => {
    const carried = (name) => { const data = new DataTransfer(); data.items.add(new File([new Uint8Array(list)], name, { type: 'image/png' })); return data; };
    const place = document.querySelector('main.conversation .timeline');
    const dropped = carried('dropped.png');
    for (const name of ['dragenter', 'dragover']) place.dispatchEvent(new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer: dropped }));
    if (document.querySelector('.drop').hidden) throw new Error('nothing says that one may drop it');
    place.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: dropped }));
    const field = document.querySelector('#composer');
    field.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData: carried('pasted.png') }));
  }, { bytes });
  await there(ada, 2);
  let broken = 0;
  const seen = new Set();
  await bob.page.route(/\/link\?variant=1$/, async (route) => {
    // The first one of each picture.
    const first = !seen.has(route.request().url());
    seen.add(route.request().url());
    broken++;
    const answer = await route.fetch();
    const link = await answer.json();
    await route.fulfill({ response: answer, json: first ? { ...link, url: link.url.replace(/signature=[^&]*/, 'signature=none') } : link });
  });
  await ada.page.locator('#composer').press('Enter');
  for (const name of ['dropped.png', 'pasted.png']) for (const person of [ada, bob]) await shown(person, name);
  assert.ok(broken >= 4, `${broken} links were asked for`);
  await bob.page.unroute(/\/link\?variant=1$/);
  await look(bob, 'two-pictures-phone-dark');
  const opened = await shown(ada, 'dropped.png');
  await opened.click();
  const viewer = ada.page.getByRole('dialog', { name: 'dropped.png' });
  await viewer.getByText('1 of 2').waitFor();
  await ada.page.keyboard.press('ArrowRight');
  await ada.page.getByRole('dialog', { name: 'pasted.png' }).getByText('2 of 2').waitFor();
  await look(ada, 'picture-second');
  await ada.page.keyboard.press('Escape');
  await bob.page.getByRole('button', { name: 'Back to the list' }).click();
  assert.match(await bob.page.getByRole('link', { name: /Engine/ }).textContent(), /Ada: 2 pictures/);
  await bob.page.getByRole('link', { name: /Engine/ }).click();
});

test('what is refused says why, before and after its bytes were looked at', async () => {
  await attach(ada, document('long.txt', 'x'.repeat(70_000), 'text/plain'), document('tool.exe', 'MZ', 'application/x-msdownload'), document('false.pdf', 'no report', 'text/html'), document('empty.txt', '', 'text/plain'));
  await tray(ada).getByText('It is too large: files of its kind may have 66 KB.').waitFor();
  await tray(ada).getByText('Files of this type (EXE) are not taken.').waitFor();
  await tray(ada).getByText('It is empty. Attach another one.').waitFor();
  await look(ada, 'files-refused');
  assert.ok(await ada.page.getByRole('button', { name: 'Send', exact: true }).isDisabled());
  for (const name of ['long.txt', 'tool.exe', 'false.pdf', 'empty.txt']) await tray(ada).getByRole('button', { name: `Remove ${name}` }).click();
  await tray(ada).waitFor({ state: 'hidden' });
  // Announced as one thing and another one inside.
  await attach(ada, { name: 'fake.png', mimeType: 'image/png', buffer: document('x').buffer }, document('notes.md', '# Notes', ''));
  await tray(ada).getByText('What is in it is of another type than its name says.').waitFor();
  await tray(ada).getByRole('button', { name: 'Remove fake.png' }).click();
  await there(ada, 1);
  await ada.say('and my notes');
  await bob.sees('and my notes');
  await bob.page.getByRole('button', { name: /Save notes\.md,? Text, 7 bytes/ }).waitFor();
});

test('an upload is cancelled, or fails and is tried again', async () => {
  let held;
  let failed = 0;
  await ada.page.route(/\/content\?/, async (route) => {
    if (route.request().method() !== 'PUT') return route.continue();
    if (!held) return new Promise((resolve) => { held = () => route.abort().catch(() => {}).then(resolve); });
    return failed++ ? route.continue() : route.abort('connectionfailed');
  });
  await attach(ada, picture('slow.png'));
  await until('its bytes are on their way', () => held);
  await look(ada, 'file-sending');
  const gone = ada.page.waitForResponse((answer) => answer.request().method() === 'DELETE');
  await tray(ada).getByRole('button', { name: 'Cancel slow.png' }).click();
  await tray(ada).waitFor({ state: 'hidden' });
  assert.equal((await gone).status(), 204);
  await held();
  await attach(ada, picture('again.png', 300, 200));
  await tray(ada).getByText('The server cannot be reached.').waitFor();
  await tray(ada).getByRole('button', { name: 'Try again' }).click();
  await there(ada, 1);
  await send(ada);
  await shown(bob, 'again.png');
  await ada.page.unroute(/\/content\?/);
});

test('who is removed gets no file any more', async () => {
  const address = await (await shown(bob, 'again.png')).locator('img').evaluate((image) => image.src);
  assert.equal((await fetch(address)).status, 200);
  await ada.page.getByRole('button', { name: 'Members', exact: true }).click();
  await ada.page.getByRole('button', { name: /Bob Kahn/ }).click();
  await ada.page.getByRole('menuitem', { name: 'Remove from the room' }).click();
  await ada.page.getByRole('button', { name: 'Remove', exact: true }).click();
  await bob.page.getByText('You were removed from Engine.').waitFor();
  await until('the pictures are gone', async () => (await bob.page.locator('.picture').count()) === 0);
  assert.equal((await fetch(address)).status, 404);
  await ada.page.keyboard.press('Escape');
  await shown(ada, 'again.png');
});
