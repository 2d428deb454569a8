/** Tells while somebody types whether a name can be had. */

import { h, icon } from './dom.js';

/** Milliseconds without a key until the server is asked. */
const PAUSE_MS = 350;

/**
 * A line for below `input`. `ask` gets what is in it and resolves with the server's answer, or with nothing where there is nothing to ask;
 * `words` makes of the answer what is shown. A question without an answer shows nothing: the form itself asks again.
 */
export function nameLine(input, ask, words) {
  const line = h('p', { class: 'availability', id: `${input.id}-availability`, role: 'status' });
  input.setAttribute('aria-describedby', [input.getAttribute('aria-describedby'), line.id].filter(Boolean).join(' '));
  let timer;
  let turn = 0;
  const show = (answer, typed) => {
    line.classList.toggle('bad', answer?.available === false);
    line.replaceChildren(...(answer ? [icon(answer.available ? 'check' : 'warning'), h('span', {}, words(answer, typed))] : []));
  };
  const look = () => {
    const mine = ++turn;
    clearTimeout(timer);
    show();
    timer = setTimeout(async () => {
      // It was sent meanwhile, and is of nobody's interest any more.
      if (!line.isConnected) return;
      const typed = input.value;
      const answer = await Promise.resolve(ask(typed)).catch(() => undefined);
      if (mine === turn && line.isConnected) show(answer, typed);
    }, PAUSE_MS);
  };
  input.addEventListener('input', look);
  return Object.assign(line, { look });
}
