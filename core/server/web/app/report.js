/** Telling those who look after a room, or run the server, that something is wrong. */

import { formDialog } from './dialogs.js';
import { h, toast } from './dom.js';

const COMMENT_MAX = 1_000;
export const REASONS = { spam: 'Spam or advertising', harassment: 'Harassment', hate: 'Hatred of a group of people', violence: 'Violence, or a threat of it', sexual: 'Sexual content', illegal: 'Something illegal', other: 'Something else' };

/** Choices of which one is needed. */
export const choices = (name, legend, options) => h('fieldset', {}, h('legend', {}, legend),
  Object.entries(options).map(([value, label]) => h('label', { class: 'choice' }, h('input', { type: 'radio', name, value }), h('span', {}, label))));

/** What is written in more than one line, as the server takes it. */
export const lines = (text) => text.trim().replace(/\r\n?/g, '\n').replace(/\t/g, ' ');

export const comment = (name, label) => [h('label', { for: `field-${name}` }, label), h('textarea', { id: `field-${name}`, name, rows: '3', maxlength: COMMENT_MAX, dir: 'auto', 'aria-describedby': 'dialog-error' })];

/** Reports a message (`{seq}`), a member (`{user}`), or the room; `what` names it. */
export function report(chat, room, about, what) {
  const theirs = !room.direct && (about.seq || about.user);
  formDialog({
    title: `Report ${what}`, label: 'Report',
    about: `${theirs ? 'Those who manage this room' : 'Those who run this server'} look at it. Nobody in the room is told that it was you.${about.seq ? ' What the message says now is kept with the report, but none of its files.' : ''}`,
    fields: [choices('reason', 'What is wrong with it', REASONS), ...comment('comment', 'In your words (may be left out)')],
    submit: async ({ reason, comment: text }) => {
      if (!reason) throw new Error('Choose what is wrong.');
      try { await chat.lynk.report(room.id, reason, { ...about, comment: lines(text) }); } catch (error) {
        const known = { conflict: 'You have reported that already, and it is still being looked at.', limit_reached: 'So many reports are open that no more are taken. Try again tomorrow.' }[error.code];
        throw known ? new Error(known) : error;
      }
    },
    done: () => toast(`You have reported ${what}. Thank you.`),
  });
}
