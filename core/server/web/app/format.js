/** Times, names and texts as people read them. */

import { h } from './dom.js';
import { namesIn } from './mentions.js';

const hours = new Intl.DateTimeFormat(undefined, { hour: 'numeric' }).resolvedOptions().hourCycle?.startsWith('h2') ? '2-digit' : 'numeric';
const clock = new Intl.DateTimeFormat(undefined, { hour: hours, minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const shortWeekday = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const dayAndYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const shortDate = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const shortYear = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: '2-digit', year: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const plurals = new Intl.PluralRules('en');

export const timeOf = (millis) => clock.format(millis);
export const fullTime = (millis) => full.format(millis);
/** “27 Nov 2026, 11:17”, of a time as the server writes it. */
export const momentOf = (time) => moment.format(new Date(time));

/** The number of the day, in this time zone. */
export function dayNumber(millis) {
  const date = new Date(millis);
  return Math.floor(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000);
}

/** “Today”, “Yesterday”, “Monday”, “3 May”, “3 May 2024”. */
export function dayLabel(millis, now = Date.now()) {
  const ago = dayNumber(now) - dayNumber(millis);
  if (ago === 0) return 'Today';
  if (ago === 1) return 'Yesterday';
  if (ago > 1 && ago < 7) return weekday.format(millis);
  return (new Date(millis).getFullYear() === new Date(now).getFullYear() ? dayOfYear : dayAndYear).format(millis);
}

/** For the list of rooms: the time today, then the day. */
export function listTime(millis, now = Date.now()) {
  if (!millis) return '';
  const ago = dayNumber(now) - dayNumber(millis);
  if (ago <= 0) return timeOf(millis);
  if (ago === 1) return 'Yesterday';
  if (ago < 7) return shortWeekday.format(millis);
  return (new Date(millis).getFullYear() === new Date(now).getFullYear() ? shortDate : shortYear).format(millis);
}

/** “1 member”, “5 members”. */
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${plurals.select(number) === 'one' ? one : many}`;

/** “30 seconds”, “5 minutes”, “an hour”. */
export function spanOf(seconds) {
  if (seconds % 3_600 === 0) return seconds === 3_600 ? 'an hour' : count(seconds / 3_600, 'hour');
  if (seconds % 60 === 0) return seconds === 60 ? 'a minute' : count(seconds / 60, 'minute');
  return count(seconds, 'second');
}

/** “Ann”, “Ann and Bob”, “Ann, Bob and 3 others”. */
export function listOf(names, shown = 2) {
  if (names.length <= 1) return names[0] ?? '';
  if (names.length <= shown) return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  return `${names.slice(0, shown).join(', ')} and ${count(names.length - shown, 'other')}`;
}

/** One of ten colours, always the same for an id. */
export function tintOf(id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % 10;
}

/** Up to two letters for a picture. */
export function initialsOf(name) {
  const words = name.trim().split(/[\s._-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = (word) => [...word].find((character) => /[\p{L}\p{N}]/u.test(character)) ?? '';
  return ((words[0] ? first(words[0]) : '?') + (words.length > 1 ? first(words.at(-1)) : '')).toLocaleUpperCase();
}

const LINK = /\b(?:https?:\/\/|www\.)[^\s<>"'`]+/giu;

/** Nodes for a text: plain text, with web addresses as links, and `@name` marked where `mentionOf(name)` says how. */
export function richText(text, mentionOf) {
  const nodes = [];
  const plain = (part) => {
    let done = 0;
    for (const { name, index, length } of mentionOf ? namesIn(part) : []) {
      const kind = mentionOf(name);
      if (!kind) continue;
      nodes.push(part.slice(done, index), h('span', { class: `mention ${kind}` }, part.slice(index, index + length)));
      done = index + length;
    }
    nodes.push(part.slice(done));
  };
  let last = 0;
  for (const match of text.matchAll(LINK)) {
    let url = match[0];
    // What ends a sentence is not part of an address, and a closing bracket is only when it was opened inside.
    for (;;) {
      const end = url.at(-1);
      if (/[.,;:!?…*_~]/u.test(end) || (end === ')' && !url.includes('(')) || (end === ']' && !url.includes('['))) url = url.slice(0, -1);
      else break;
    }
    const href = url.toLowerCase().startsWith('www.') ? `https://${url}` : url;
    if (!URL.canParse(href)) continue;
    plain(text.slice(last, match.index));
    nodes.push(h('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow' }, url));
    last = match.index + url.length;
  }
  plain(text.slice(last));
  return nodes.filter((node) => node !== '');
}

/** “512 bytes”, “12 KB”, “1.4 MB”. */
export function bytesOf(number) {
  if (number < 1_000) return count(number, 'byte');
  let unit = 0;
  let shown = number / 1_000;
  for (; shown >= 999.5 && unit < 3; unit++) shown /= 1_000;
  return `${shown.toLocaleString(undefined, { maximumFractionDigits: shown < 10 ? 1 : 0 })} ${['KB', 'MB', 'GB', 'TB'][unit]}`;
}

/** A message on one line: its text, or what files it has. */
export function briefOf({ text, attachments = [] }, most = 160) {
  const line = (text ?? '').replace(/\s+/g, ' ').trim();
  if (line || !attachments.length) return line.slice(0, most);
  if (attachments.every(({ type }) => type.startsWith('image/'))) return attachments.length > 1 ? count(attachments.length, 'picture') : 'Picture';
  return attachments.length > 1 ? count(attachments.length, 'file') : (attachments[0].name || 'File').slice(0, most);
}

const graphemes = globalThis.Intl?.Segmenter ? new Intl.Segmenter(undefined, { granularity: 'grapheme' }) : undefined;

/** Whether a text is up to three emoji and nothing else. */
export function isJumbo(text) {
  if (!graphemes || text.length > 40) return false;
  const parts = [...graphemes.segment(text.trim())].map((part) => part.segment).filter((part) => part.trim());
  return parts.length > 0 && parts.length <= 3 && parts.every((part) => /\p{Extended_Pictographic}|\p{Regional_Indicator}/u.test(part) && !/^[\d#*]$/u.test(part));
}

/** What to say when the server refused something; it says what to do. */
export function explain(error) {
  const known = {
    network: 'The server cannot be reached. Check your connection and try again.',
    disconnected: 'You are offline. Try again when you are connected.',
    rate_limited: 'That was too fast. Wait a moment and try again.',
    busy: 'The server is busy. Try again in a moment.',
    unavailable: 'The server has a problem. Try again in a moment.',
    unknown: 'It is not known whether that worked. Try again: it will not happen twice.',
    storage_full: 'The server’s disk is full. Tell whoever runs it.',
    room_not_found: 'There is no room of that name, or it is private. Check the spelling, or ask for an invitation.',
    user_not_found: 'Nobody has that user name. Check the spelling.',
    name_taken: 'That name is taken. Choose another one.',
    banned: 'You are banned from this room.',
    muted: 'You may not post in this room for now.',
    blocked: 'This conversation is blocked.',
    not_a_member: 'You are not a member of this room any more.',
    forbidden: 'You are not allowed to do that.',
    too_large: 'That is too long. Shorten it and send it again.',
    limit_reached: 'The limit is reached.',
    last_owner: 'You are the last owner. Make somebody else the owner first.',
    slow_mode: 'Slow mode is on in this room. Wait a moment before the next message.',
    key_expired: 'This waited for too long. Send it again.',
    attachment_not_found: 'A file of this message is not there any more. Attach it again.',
    attachment_not_ready: 'A file is still being checked. Try again in a moment.',
    request_pending: 'The conversation has to be accepted first.',
    message_not_found: 'This message does not exist any more.',
    invalid_code: 'That code is not right, or it is too old. Check it, or ask for a new one.',
    signed_out: 'You are signed out. Sign in again.',
    second_factor_required: 'This server asks everybody for a second step. Turn on two-step sign-in first.',
    account_suspended: 'This account is suspended. Ask whoever runs this server.',
  };
  return known[error.code] ?? error.message ?? 'Something went wrong. Try again.';
}
