/** One film or sound of a message: nothing is loaded until it is played, and a link that ends meanwhile is asked for anew. */

import { h, icon } from './dom.js';
import { bytesOf, explain } from './format.js';

/** Links that are asked for in a row without anything having been played. */
const TRIES = 2;

/** `audio` or `video` when this browser may play a file of that type. */
export function playable({ type }) {
  const family = /^(audio|video)\//.exec(type)?.[1];
  return family && document.createElement(family).canPlayType(type) ? family : undefined;
}

/** An element for `file`, which is called `name` and is a `kind`. `files` has the links; `alone(media)` is told which one plays. */
export function makePlayer(files, file, { family, name, kind, alone }) {
  let media;
  let tries = 0;
  let renewing = false;
  let wanted = false; // Whether it is to play as soon as it can
  let at = 0;
  const stage = h('div', { class: 'player-stage' });
  const said = h('p', { class: 'player-said', role: 'status' });
  const mark = h('span', { class: 'play-mark', 'aria-hidden': 'true' }, icon('play'));
  const play = h('button', { type: 'button', class: 'file play', onclick: () => start() }, mark,
    h('span', { class: 'unseen' }, 'Play '), h('span', { class: 'person' }, h('span', { class: 'file-name', dir: 'auto' }, name), h('span', { class: 'hint' }, `${kind}, ${bytesOf(file.bytes)}`)));
  const save = h('button', { type: 'button', class: 'icon-button', 'aria-label': `Save ${name}`, title: 'Save', onclick: () => files.save(file) }, icon('save'));

  const say = (text) => { said.textContent = text; };
  /** Back to the button, with what went wrong. */
  const stop = (text) => {
    const focused = stage.contains(document.activeElement);
    wanted = false;
    media?.removeAttribute('src');
    media = undefined;
    stage.replaceChildren();
    play.hidden = play.disabled = false;
    say(text);
    if (focused) play.focus();
  };
  const refused = (error) => stop(error.code === 'attachment_not_found' ? 'It is not there any more.' : explain(error));
  const over = () => files.linkIsOver(file.id);
  const here = () => { for (let i = 0; i < media.buffered.length; i++) if (media.buffered.start(i) <= media.currentTime && media.buffered.end(i) > media.currentTime + 1) return true; return false; };

  /** Goes on where it was, by a new link. */
  const renew = async () => {
    const mine = media;
    renewing = true;
    try {
      const url = await files.link(file.id, 0, true);
      if (mine !== media || !media) return;
      at = media.currentTime || at;
      media.src = url;
      media.load();
      if (wanted) media.play().catch(() => {});
    } catch (error) {
      if (mine === media && media) refused(error);
    } finally { renewing = false; }
  };
  const failed = () => {
    const { code } = media.error ?? {};
    // A new link is on its way already.
    if (renewing) return;
    if (code === 3 || tries++ >= TRIES) {
      const played = at > 0 || media.currentTime > 0;
      at = code === 3 ? 0 : media.currentTime || at;
      stop(played && code !== 3 ? 'It stopped, since the server cannot be reached. Play it again.' : 'This browser cannot play it. Save it, and open it with another program.');
    } else renew();
  };

  const start = async () => {
    play.disabled = true;
    wanted = true;
    tries = 0;
    say('Loading…');
    let url;
    try { url = await files.link(file.id, 0); } catch (error) { refused(error); return; }
    media = h(family, { controls: true, preload: 'metadata', playsinline: true, 'aria-label': name });
    const on = (event, action) => { const mine = media; mine.addEventListener(event, () => { if (mine === media) action(); }); };
    const ended = () => { if (!renewing && over() && !here() && !media.error && tries < TRIES) { tries++; renew(); } };
    on('loadedmetadata', () => { say(''); if (at && Math.abs(media.currentTime - at) > 0.5) media.currentTime = at; });
    on('playing', () => { wanted = true; });
    on('play', () => { wanted = true; alone(media); ended(); });
    on('pause', () => { if (!renewing && !media.error) wanted = false; });
    on('timeupdate', () => { if (media.currentTime > at) tries = 0; at = media.currentTime || at; });
    on('ended', () => { at = 0; });
    on('seeking', () => { at = media.currentTime; ended(); });
    on('waiting', ended);
    on('error', failed);
    media.src = url;
    stage.replaceChildren(media);
    play.hidden = true;
    media.focus();
    media.play().catch(() => {});
  };
  return h('div', { class: `player ${family}` }, stage, h('div', { class: 'player-line' }, play, h('span', { class: 'file played', 'aria-hidden': 'true' }, icon('file'), h('span', { class: 'person' }, h('span', { class: 'file-name', dir: 'auto' }, name), h('span', { class: 'hint' }, `${kind}, ${bytesOf(file.bytes)}`))), save), said);
}
