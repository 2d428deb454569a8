/** Sending files: the Lynk client library's part for `POST /v1/media`. See `lynk.js` and `docs/media.md`. */

import { Emitter, LynkError } from './lynk-base.js';

const STALL_MS = 45_000; // Time in which some bytes must go before an upload counts as lost
const TRIES = 4; // How often what was refused for the time being is asked again
const LOOKS_MAX = 30; // How often it is asked, up to ten seconds each, whether a file was looked at
const LINK_MS = 14 * 60_000; // How long the link of an announcement is taken for good
const DELETE_TRIES = 3; // A connection that was cut off may still hold the file for a moment
/** What browsers do not know by themselves. */
const BY_ENDING = { md: 'text/markdown', csv: 'text/csv', txt: 'text/plain', log: 'text/plain', heic: 'image/heic', heif: 'image/heic', avif: 'image/avif', webp: 'image/webp',
  m4a: 'audio/mp4', weba: 'audio/webm', ogv: 'video/ogg', mov: 'video/quicktime', epub: 'application/epub+zip', zip: 'application/zip',
  odt: 'application/vnd.oasis.opendocument.text', ods: 'application/vnd.oasis.opendocument.spreadsheet', odp: 'application/vnd.oasis.opendocument.presentation',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document', xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation' };

/** The type to announce a file with. */
function typeOf({ type, name = '' }) {
  const ending = BY_ENDING[name.split('.').at(-1).toLowerCase()];
  // Some systems name their office programs for what is plain text.
  return (ending?.startsWith('text/') && ending) || type?.split(';')[0].trim().toLowerCase() || ending || 'application/octet-stream';
}

/** As much of a name as the server takes: one line, 255 bytes, its ending kept. */
function nameOf({ name = '' }) {
  const clean = name.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/gu, ' ').trim();
  const size = (text) => new TextEncoder().encode(text).length;
  if (size(clean) <= 255) return clean;
  const ending = /\.[\w-]{1,12}$/u.exec(clean)?.[0] ?? '';
  const stem = [...clean.slice(0, clean.length - ending.length)];
  while (size(stem.join('')) + ending.length > 255) stem.pop();
  return stem.join('') + ending;
}

const lost = () => new LynkError('network', 'the server cannot be reached', { retryable: true });

/** With progress, which `fetch` does not tell. */
function putBytes(url, body, type, { signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let timer;
    const waits = () => { clearTimeout(timer); timer = setTimeout(() => request.abort(), STALL_MS); };
    const cut = () => request.abort();
    const end = (action) => () => { clearTimeout(timer); signal.removeEventListener('abort', cut); action(); };
    request.open('PUT', url);
    request.setRequestHeader('content-type', type);
    request.upload.onprogress = ({ loaded }) => { waits(); progress(loaded); };
    request.onload = end(() => resolve({ status: request.status, text: request.responseText, retryAfter: request.getResponseHeader('retry-after') }));
    request.onerror = request.onabort = end(() => reject(lost()));
    signal.addEventListener('abort', cut);
    request.send(body);
    waits();
  });
}

async function fetchBytes(url, body, type, { signal }) {
  try {
    const answer = await fetch(url, { method: 'PUT', body, headers: { 'content-type': type }, credentials: 'omit', signal });
    return { status: answer.status, text: await answer.text(), retryAfter: answer.headers.get('retry-after') };
  } catch { throw lost(); }
}

/**
 * One file on its way to the server: announced, its bytes put, looked at there. `state` is `new`, `sending` (`sent` of `bytes`), `looking`,
 * `ready` (`media` is what the server knows of it), `failed` (`error` says why; `start()` goes on where it stopped), or `cancelled`.
 */
export class Upload extends Emitter {
  state = 'new';
  sent = 0;
  media = undefined;
  error = undefined;
  #account; #options; #file; #announced; #announcedAt = 0; #call; #running;

  constructor(account, file, { room, purpose = 'attachment', name = nameOf(file), type = typeOf(file), put = globalThis.XMLHttpRequest ? putBytes : fetchBytes } = {}) {
    super();
    this.#account = account;
    this.#file = file;
    this.#options = { room, purpose, put };
    Object.assign(this, { name, type, bytes: file.size });
  }

  /** Resolves with the file when it is ready, or rejects; may be called again then. */
  start() {
    this.#running ??= this.#run().finally(() => { this.#running = undefined; });
    return this.#running;
  }

  /** Stops it, for good. What the server has of it is deleted. */
  cancel() {
    if (this.state === 'cancelled') return;
    const id = this.#announced?.media;
    this.#to('cancelled');
    this.#call?.abort();
    this.#file = undefined;
    if (id) this.#forget(id);
  }

  async #forget(id) {
    for (let tries = 1; tries <= DELETE_TRIES; tries++) {
      try { await this.#account.deleteMedia(id); return; } catch (error) {
        // It ends by itself after a while when this does not work.
        if (!error.retryable && error.code !== 'conflict') return;
        await new Promise((resolve) => setTimeout(resolve, 500 * tries));
      }
    }
  }

  #to(state, more) {
    if (this.state === 'cancelled') return;
    Object.assign(this, { state, ...more });
    this.emit('change', this);
  }

  async #run() {
    if (this.state === 'ready') return this.media;
    const { signal } = this.#call = new AbortController();
    const { account, media } = { account: this.#account, media: this.#announced?.media };
    this.#to('sending', { error: undefined, sent: 0 });
    try {
      // After a failure it may be further than was heard of.
      let row = media && await this.#again(() => account.media(media)).catch((error) => { if (error.code !== 'attachment_not_found') throw error; });
      if (row?.state === 'rejected') row = undefined;
      if (!row || row.state === 'pending') row = await this.#put(signal, Boolean(row));
      for (let looks = 0; row.state === 'scanning' || row.state === 'pending'; looks++) {
        this.#to('looking', { sent: this.bytes });
        if (looks >= LOOKS_MAX) throw new LynkError('unavailable', 'it is still being looked at', { retryable: true });
        if (looks && row.state === 'pending') await new Promise((resolve) => setTimeout(resolve, 500));
        row = await this.#again(() => account.authorised('POST', `/media/${row.media}/complete`));
      }
      if (row.state === 'rejected') throw Object.assign(new LynkError('rejected', `the file was refused: ${row.reason}`), { reason: row.reason });
      this.#file = undefined;
      this.#to('ready', { media: row, bytes: row.bytes });
      return row;
    } catch (error) {
      const why = this.state === 'cancelled' ? new LynkError('cancelled', 'cancelled') : error;
      this.#to('failed', { error: why });
      throw why;
    }
  }

  async #put(signal, announced) {
    const account = this.#account;
    const { room, purpose, put } = this.#options;
    const { name, type, bytes } = this;
    if (!announced || Date.now() - this.#announcedAt > LINK_MS) {
      const before = announced && this.#announced.media;
      this.#announced = await this.#again(() => account.authorised('POST', '/media', { purpose, ...(room && { room }), name, type, bytes }));
      this.#announcedAt = Date.now();
      if (before) this.#forget(before);
      if (signal.aborted) { this.#forget(this.#announced.media); throw lost(); }
    }
    return this.#again(async () => {
      const answer = await put(account.address(this.#announced.upload.url), this.#file, type, { signal, progress: (sent) => this.#to('sending', { sent: Math.min(sent, bytes) }) });
      let body = {};
      try { body = JSON.parse(answer.text); } catch { /* What is no JSON is told by its status. */ }
      if (answer.status === 200) return body;
      // They were there already: the answer to an earlier attempt did not come.
      if (body.code === 'conflict') return account.media(this.#announced.media);
      throw LynkError.of({ code: answer.status >= 500 ? 'unavailable' : 'bad_request', message: `the server answered ${answer.status}`, retryable: answer.status >= 500,
        retry_after_ms: Number(answer.retryAfter) * 1000 || undefined, ...body }, answer.status);
    });
  }

  async #again(action) {
    for (let tries = 1; ; tries++) {
      try { return await action(); } catch (error) {
        if (!error.retryable || error.code === 'network' || tries >= TRIES || this.state === 'cancelled') throw error;
        await new Promise((resolve) => setTimeout(resolve, (error.retryAfterMs ?? 500 * tries) + Math.random() * 250));
      }
    }
  }
}
