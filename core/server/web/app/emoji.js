/** Emoji to choose from, by name. */

import { h, iconButton } from './dom.js';
import { settings } from './storage.js';

export const QUICK = ['👍', '❤️', '😂', '😮', '😢', '🙏'];

/** Group, then pairs of emoji and name. */
const GROUPS = [
  ['Smileys', '😀 grinning|😃 happy|😄 laughing eyes|😁 beaming|😆 squinting laugh|😅 sweat smile|🤣 rolling on the floor|😂 tears of joy|🙂 slight smile|🙃 upside down|😉 wink|😊 blush|😇 halo|🥰 in love|😍 heart eyes|🤩 star struck|😘 kiss|😋 yummy|😛 tongue|😜 crazy tongue|🤗 hug|🤭 giggle|🤫 hush|🤔 thinking|🤐 zipper|😐 neutral|😑 expressionless|😶 no mouth|😏 smirk|🙄 eye roll|😬 grimace|😌 relieved|😔 pensive|😴 sleeping|😷 mask|🤒 ill|🥵 hot|🥶 cold|🤯 mind blown|🥳 party|😎 sunglasses|🤓 nerd|😕 confused|😟 worried|😮 surprised|😳 flushed|🥺 pleading|😢 crying|😭 sobbing|😱 scream|😤 huff|😡 angry|🤬 cursing|💀 skull|🤡 clown|👻 ghost|🤖 robot|🙈 see no evil'],
  ['Hands and people', '👍 thumbs up|👎 thumbs down|👌 OK|✌️ victory|🤞 fingers crossed|🤝 handshake|👏 clapping|🙌 raised hands|🙏 thanks|💪 strong|👋 waving|🤙 call me|👉 pointing right|👆 pointing up|✋ stop|🫶 heart hands|✍️ writing|🤷 shrug|🤦 facepalm|👀 eyes|🧠 brain|👶 baby|🧑‍💻 technologist|🕺 dancing'],
  ['Hearts and signs', '❤️ red heart|🧡 orange heart|💛 yellow heart|💚 green heart|💙 blue heart|💜 purple heart|🖤 black heart|💔 broken heart|💯 hundred|💥 boom|💫 dizzy|💤 sleep|✅ done|❌ cross|❓ question|❗ exclamation|⚠️ warning|🚫 forbidden|➕ plus|🔥 fire|⭐ star|✨ sparkles|🎉 tada|🎊 confetti'],
  ['Nature and food', '🐶 dog|🐱 cat|🦊 fox|🐻 bear|🐼 panda|🦁 lion|🐸 frog|🐵 monkey|🦄 unicorn|🐝 bee|🌹 rose|🌻 sunflower|🌲 tree|🌈 rainbow|☀️ sun|🌙 moon|🌧️ rain|❄️ snow|🍎 apple|🍌 banana|🍓 strawberry|🍕 pizza|🍔 burger|🌮 taco|🍣 sushi|🍰 cake|🍪 cookie|☕ coffee|🍵 tea|🍺 beer|🍷 wine|🥂 cheers'],
  ['Things and places', '⚽ football|🏀 basketball|🎾 tennis|🏆 trophy|🎮 game|🎵 music|🎸 guitar|🎬 film|📷 camera|💻 computer|📱 phone|💡 idea|📌 pin|📎 clip|📅 calendar|⏰ alarm|💰 money|🎁 gift|🔑 key|🔒 lock|🚗 car|🚲 bike|✈️ plane|🚀 rocket|🏠 home|🏖️ beach|⛰️ mountain|🌍 world'],
].map(([name, text]) => [name, text.split('|').map((pair) => { const at = pair.indexOf(' '); return [pair.slice(0, at), pair.slice(at + 1)]; })]);

const recent = () => (settings.get('emoji') ?? '').split(' ').filter(Boolean);

/** Lets a person choose; resolves with an emoji, or `undefined`. */
export function chooseEmoji(title = 'Choose an emoji', anchor = undefined) {
  return new Promise((resolve) => {
    let chosen;
    const list = h('div', { class: 'emoji-list' });
    const pick = (emoji) => {
      chosen = emoji;
      settings.set('emoji', [emoji, ...recent().filter((other) => other !== emoji)].slice(0, 16).join(' '));
      dialog.close();
    };
    const names = new Map(GROUPS.flatMap(([, pairs]) => pairs));
    const button = ([emoji, name]) => h('button', { type: 'button', class: 'emoji', 'aria-label': name, title: name, onclick: () => pick(emoji) }, emoji);
    const fill = (wanted) => {
      const groups = wanted ? [['Found', GROUPS.flatMap(([, pairs]) => pairs).filter(([emoji, name]) => name.includes(wanted) || emoji === wanted)]]
        : [...(recent().length ? [['Recent', recent().map((emoji) => [emoji, names.get(emoji) ?? emoji])]] : []), ...GROUPS];
      list.replaceChildren(...groups.map(([name, pairs]) => h('section', {}, h('h3', {}, name), pairs.length ? h('div', { class: 'emoji-grid' }, pairs.map(button)) : h('p', { class: 'hint' }, 'Nothing of that name.'))));
    };
    const search = h('input', { type: 'search', placeholder: 'Search', 'aria-label': 'Search emoji', oninput: () => fill(search.value.trim().toLowerCase()),
      onkeydown: (event) => { if (event.key === 'Enter') { event.preventDefault(); list.querySelector('button')?.click(); } } });
    const dialog = h('dialog', { class: 'emoji-picker', 'aria-label': title, onclose: () => { dialog.remove(); resolve(chosen); },
      onclick: (event) => { if (event.target === dialog) dialog.close(); } },
    h('div', { class: 'emoji-head' }, search, iconButton('close', 'Close', () => dialog.close())), list);
    list.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...list.querySelectorAll('button')];
      all[Math.max(0, Math.min(all.length - 1, all.indexOf(document.activeElement) + step))]?.focus();
    });
    fill('');
    document.body.append(dialog);
    dialog.showModal();
    if (anchor) {
      // Above what opened it. Phones show a sheet instead (by style sheet).
      const box = anchor.getBoundingClientRect();
      dialog.classList.add('anchored');
      dialog.style.left = `${Math.max(8, Math.min(innerWidth - dialog.offsetWidth - 8, box.left - 8))}px`;
      dialog.style.top = `${Math.max(8, box.top - dialog.offsetHeight - 12)}px`;
    }
  });
}
