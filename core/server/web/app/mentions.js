/** Mentions: who is meant by `@name` in a text, and the list that completes a name while it is written. */

import { h } from './dom.js';

/** What mentions everybody, for those who may. */
export const ALL = 'all';
const SHOWN = 6;
const NAME = /(?<![\p{L}\p{N}_@./])@([\p{L}\p{M}\p{N}_](?:[\p{L}\p{M}\p{N}_.-]*[\p{L}\p{M}\p{N}_])?)/gu;
const WRITTEN = /(?<![\p{L}\p{N}_@./])@([\p{L}\p{M}\p{N}_.-]*)$/u;

export const fold = (name) => name.normalize('NFKC').toLocaleLowerCase();

/** The places of `@name` in a text: `{name, index, length}`. */
export function* namesIn(text) {
  for (const match of text.matchAll(NAME)) yield { name: match[1], index: match.index, length: match[0].length };
}

/** Whom a text mentions. `find` gives the user of a folded name; `everybody`: whether `@all` means something. */
export function mentionsIn(text, find, everybody) {
  const mentions = new Set();
  let mentionAll = false;
  for (const { name } of namesIn(text)) {
    const user = find(fold(name));
    if (user) mentions.add(user);
    else if (everybody && fold(name) === ALL) mentionAll = true;
  }
  return { mentions: [...mentions], mentionAll };
}

/** The list under `@` in a text field. `people()` gives `{id, tag, name}`, those who are likely first; `chosen` is told when one was put in. */
export class Completer {
  #field;
  #people;
  #faces;
  #chosen;
  #shown = [];
  #at = 0;
  #length = 0;

  constructor(field, faces, people, chosen) {
    this.#field = field;
    this.#faces = faces;
    this.#people = people;
    this.#chosen = chosen;
    this.element = h('ul', { class: 'completions', id: 'completions', role: 'listbox', 'aria-label': 'Mention somebody', hidden: true });
    for (const [name, value] of [['aria-autocomplete', 'list'], ['aria-controls', 'completions']]) field.setAttribute(name, value);
    field.addEventListener('blur', () => this.close());
  }

  get open() { return !this.element.hidden; }

  close() {
    this.element.hidden = true;
    this.#field.removeAttribute('aria-activedescendant');
  }

  /** The text or the place in it changed. */
  update() {
    const { selectionStart, selectionEnd, value } = this.#field;
    const written = selectionStart === selectionEnd ? value.slice(0, selectionStart).match(WRITTEN) : undefined;
    if (!written) { this.close(); return; }
    const wanted = fold(written[1]);
    const fits = ({ tag, name }) => fold(tag).startsWith(wanted) || fold(name).split(/\s+/u).some((word) => word.startsWith(wanted));
    this.#length = written[1].length;
    this.#shown = this.#people().filter(fits).slice(0, SHOWN);
    this.#at = 0;
    if (this.#shown.length === 0) this.close(); else this.#render();
  }

  #render() {
    this.element.hidden = false;
    this.element.replaceChildren(...this.#shown.map((person, index) => h('li', {
      id: `completion-${index}`, role: 'option', 'aria-selected': String(index === this.#at), class: index === this.#at ? 'completion on' : 'completion',
      onpointerdown: (event) => { event.preventDefault(); this.#choose(index); },
    }, person.id ? this.#faces.person(person.id, person.name, { size: 'small' }) : h('span', { class: 'everybody', 'aria-hidden': 'true' }, '@'),
    h('span', { class: 'person' }, h('span', { dir: 'auto' }, person.name), h('span', { class: 'hint' }, `@${person.tag}`)))));
    this.#field.setAttribute('aria-activedescendant', `completion-${this.#at}`);
  }

  #choose(index) {
    const { selectionStart } = this.#field;
    this.#field.setRangeText(`${this.#shown[index].tag} `, selectionStart - this.#length, selectionStart, 'end');
    this.close();
    this.#chosen();
  }

  /** Takes a key; returns whether it was for the list. */
  key(event) {
    if (!this.open || event.altKey || event.ctrlKey || event.metaKey) return false;
    const last = this.#shown.length;
    if (event.key === 'ArrowDown') this.#at = (this.#at + 1) % last;
    else if (event.key === 'ArrowUp') this.#at = (this.#at + last - 1) % last;
    else if (event.key === 'Escape') { this.close(); event.stopPropagation(); } else if ((event.key === 'Enter' && !event.shiftKey) || (event.key === 'Tab' && !event.shiftKey)) this.#choose(this.#at);
    else return false;
    event.preventDefault();
    if (this.open) this.#render();
    return true;
  }
}
