/** The HTTP side of the Lynk client library: signing in, tokens, files. See `lynk.js`. */

import { Emitter, LynkError, tokenLife } from './lynk-base.js';
import { Upload } from './lynk-media.js';

const HTTP_MAX_MS = 15_000; // Time for the answer to an HTTP call, its body included

/**
 * Signing in, tokens and the other HTTP calls. `store` keeps the tokens, `{get(), set(value | undefined)}`; tabs that share it share the session:
 * they take turns to refresh (Web Locks where there are any), look whether another tab was first, and count on the server's grace otherwise.
 */
export class LynkAccount extends Emitter {
  #options;
  #turn = Promise.resolve();
  #leaving = false; // Whatever ends the session now, it is what the person wanted
  #proof; // The newest proof of who asks: `{token, session, until}`
  /** @param {import('./lynk.d.ts').LynkAccountOptions} options */
  constructor(options = {}) {
    super();
    this.#options = { base: '', fetch: (...args) => globalThis.fetch(...args), now: () => Date.now(), ...options };
    let kept;
    this.store = options.store ?? { get: () => kept, set: (value) => { kept = value; } };
  }
  /** What is known of the session, or `undefined` when signed out. */
  get session() { return this.store.get(); }
  #exclusive(action, signal) {
    const locks = globalThis.navigator?.locks;
    const lock = this.#options.lock ?? (locks && ((name, run) => locks.request(name, { signal }, run)));
    return lock ? lock('lynk-tokens', action) : (this.#turn = this.#turn.then(action, action));
  }
  /** One HTTP call. Rejects with a {@link LynkError}; `network` when no answer came, in time or before `signal` called it off. */
  async call(method, path, body, token, signal) {
    const late = AbortSignal.timeout(HTTP_MAX_MS);
    const lost = () => new LynkError('network', 'the server cannot be reached', { retryable: true });
    let answer;
    try {
      answer = await this.#options.fetch(`${this.#options.base}/v1${path}`, {
        method, cache: 'no-store', credentials: 'omit', signal: signal && AbortSignal.any ? AbortSignal.any([signal, late]) : late,
        headers: { ...(body && { 'content-type': 'application/json' }), ...(token && { authorization: `Bearer ${token}` }) },
        body: body && JSON.stringify(body),
      });
    } catch { throw lost(); }
    // A body that ends early is no answer; one that is no JSON, or none at all, is one without fields.
    const parsed = await answer.json().catch((error) => { if (answer.ok && error.name !== 'SyntaxError') throw lost(); });
    if (answer.ok) return parsed;
    const seconds = Number(answer.headers.get('retry-after'));
    throw LynkError.of({ code: answer.status >= 500 ? 'unavailable' : 'bad_request', message: `the server answered ${answer.status}`,
      retryable: answer.status >= 500, retry_after_ms: seconds ? seconds * 1000 : undefined, ...parsed }, answer.status);
  }
  /** A call as the user who is signed in; a token that was refused is replaced once. */
  async authorised(method, path, body) {
    try { return await this.call(method, path, body, await this.token()); } catch (error) {
      // A wrong code is refused with 401, too: it must not be tried twice.
      if (error.status !== 401 || error.final || error.code === 'invalid_code') throw error;
      return this.call(method, path, body, await this.token({ force: true }));
    }
  }
  /**
   * A call that may need a recent proof of who asks: `prove` then resolves with the token of `stepUp`, or rejects to give it up. That token is kept
   * here while it is good, so that nobody is asked twice in its minutes.
   */
  async sensitive(method, path, body, prove) {
    const needed = (error) => { if (error.code !== 'step_up_required') throw error; };
    try { return await this.authorised(method, path, body); } catch (error) { needed(error); }
    const kept = this.#proof;
    if (kept && kept.session === this.session?.session && kept.until - this.#options.now() > 10_000) {
      try { return await this.call(method, path, body, kept.token); } catch (error) { if (error.status !== 401 && error.code !== 'second_factor_required') needed(error); }
    }
    const token = await prove();
    this.#proof = { token, session: this.session?.session, until: this.#options.now() + (tokenLife(token) ?? 0) };
    return this.call(method, path, body, token);
  }
  #signedIn(answer) {
    const life = tokenLife(answer.access_token) ?? answer.access_expires_at - this.#options.now();
    const { access_token, refresh_token, refresh_expires_at, session, second_factor_required: held, user = this.session?.user } = answer;
    const value = { access_token, access_until: this.#options.now() + life, refresh_token, refresh_expires_at, session, user, ...(held && { second_factor_required: true }) };
    this.store.set(value);
    if (held) this.emit('secondfactor', {});
    return value;
  }
  /** An access token that is good for a while; a new one when `force` is set. Rejects with `signed_out` when the session is over. */
  async token({ force = false, signal } = {}) {
    const before = this.store.get();
    if (!before) throw Object.assign(new LynkError('signed_out', 'not signed in'), { final: true });
    const fresh = (value) => value.access_until - this.#options.now() > 30_000;
    if (!force && fresh(before)) return before.access_token;
    return this.#exclusive(async () => {
      const value = this.store.get();
      if (!value) throw Object.assign(new LynkError('signed_out', 'signed out in another tab'), { final: true });
      // Another tab was first.
      if (value.access_token !== before.access_token && fresh(value)) return value.access_token;
      try {
        const answer = await this.call('POST', '/auth/refresh', { refresh_token: value.refresh_token }, undefined, signal);
        if (!answer?.access_token || !answer.refresh_token) throw new LynkError('unavailable', 'an answer without tokens');
        // Signed out, or in as somebody else, while the answer was on its way.
        if (this.session?.session !== value.session) throw new LynkError('unavailable', 'the session is another one');
        return this.#signedIn(answer).access_token;
      } catch (error) {
        // Nothing but 401 is the server's word on the session; whatever else came may be of a proxy, and passes.
        if (error.status !== 401) throw Object.assign(error, { retryable: true });
        const now = this.store.get();
        if (now && now.refresh_token !== value.refresh_token) return now.access_token;
        this.signedOut('expired');
        throw Object.assign(new LynkError('signed_out', 'the session is over', { status: 401 }), { final: true });
      }
    }, signal);
  }
  /** Forgets the session on this device. */
  signedOut(reason) {
    if (!this.session) return;
    this.#proof = undefined;
    this.store.set(undefined);
    this.emit('signedout', { reason: this.#leaving ? 'signed out' : reason });
  }
  requestCode(phone) { return this.call('POST', '/auth/code', { phone }); }
  /** Resolves with `{status: 'signed_in', user}`, `{status: 'second_factor', challenge}` or `{status: 'new', registration}`. */
  async verify(request_id, code, device) {
    const answer = await this.call('POST', '/auth/verify', { request_id, code, ...(device && { device }) });
    if (answer.status === 'signed_in') this.#signedIn(answer);
    return answer;
  }
  /** Signs in to an account with an authenticator app; `shown` is `{code}` or `{recovery_code}`. */
  async secondFactor(challenge, shown, device) {
    const answer = await this.call('POST', '/auth/second_factor', { challenge, ...shown, ...(device && { device }) });
    this.#signedIn(answer);
    return answer;
  }
  async register(registration, user_name, display_name, device) {
    const answer = await this.call('POST', '/auth/register', { registration, user_name, ...(display_name && { display_name }), ...(device && { device }) });
    this.#signedIn(answer);
    return answer;
  }
  /** Ends the session at the server and here; here also when the server cannot be told. */
  async signOut() {
    this.#leaving = true;
    if (this.session) await this.authorised('POST', '/auth/logout').catch(() => {});
    this.signedOut('signed out');
    this.#leaving = false;
  }
  /** Sends a code to the account's own telephone, for `stepUp`; for accounts without an app. */
  stepUpCode() { return this.authorised('POST', '/auth/step_up/code'); }
  /** Proves again who it is, with `{request_id, code}`, `{code}` or `{recovery_code}`; resolves with a token for what is sensitive. */
  async stepUp(shown) { return (await this.authorised('POST', '/auth/step_up', shown)).access_token; }
  totp() { return this.authorised('GET', '/me/totp'); }
  beginTotp(prove) { return this.sensitive('POST', '/me/totp', undefined, prove); }
  /**
   * Shows the first code of the app. A session that could do nothing else before can do everything from the answer on. Where an app is on, `replacing` is
   * `{replacement, current_code}` or `{replacement, recovery_code}`, with the `replacement` of `beginTotp`.
   */
  async confirmTotp(code, replacing = {}) {
    const made = await this.authorised('POST', '/me/totp/confirm', { code, ...replacing });
    const { access_token, access_expires_at } = made;
    // A proof from before the app may be good for turning it on only.
    this.#proof = undefined;
    if (access_token && this.session) this.#signedIn({ ...this.session, access_token, access_expires_at, second_factor_required: undefined });
    return made;
  }
  endTotp(shown) { return this.authorised('DELETE', '/me/totp', shown); }
  newRecoveryCodes(prove) { return this.sensitive('POST', '/me/totp/recovery', undefined, prove); }
  /** Erases the account for good; `userName` is its own. Resolves with the receipt; the session is over then. */
  async erase(userName, prove) {
    this.#leaving = true;
    try {
      const receipt = await this.sensitive('POST', '/me/erase', { user_name: userName }, prove);
      this.signedOut('signed out');
      return receipt;
    } finally { this.#leaving = false; }
  }
  /** What the server has of the account, page by page; `prove` as for `sensitive`, before the first. */
  async *export(prove) {
    let page = await this.sensitive('POST', '/me/export', {}, prove);
    for (;;) {
      yield page;
      if (!page.next) return;
      page = await this.authorised('POST', '/me/export', { cursor: page.next });
    }
  }
  /** A file that is to be sent: an {@link Upload}, which begins with its `start()`. */
  upload(file, options = {}) { return new Upload(this, file, options); }
  /** How far an own file is. */
  media(media) { return this.authorised('GET', `/media/${encodeURIComponent(media)}`); }
  /** What the account has of files, and may have. */
  mediaUsage() { return this.authorised('GET', '/media/usage'); }
  /** Deletes an own file that nothing uses. */
  deleteMedia(media) { return this.authorised('DELETE', `/media/${encodeURIComponent(media)}`); }
  /**
   * A link to a file, good until `ends`: 0 is the file, 1 and 2 are smaller pictures. It needs no token and must not be passed on. `code`: of a
   * link into the room whose picture it is.
   */
  async mediaLink(media, variant = 0, code = undefined) {
    const { url, ends } = await this.authorised('GET', `/media/${encodeURIComponent(media)}/link?${new URLSearchParams({ variant, ...(code && { code }) })}`);
    return { url: this.address(url), ends };
  }
  /** Whole address of what the server names relative to itself. */
  address(url) { return /^https?:/.test(url) ? url : `${this.#options.base}${url}`; }
  ticket() { return this.authorised('POST', '/auth/ticket'); }
  /** All of the own profile; what others see of it is in `session` from then on. */
  async me() { return this.#known(await this.authorised('GET', '/me')); }
  #known(me) {
    const { phone, created_at, ...user } = me;
    const kept = this.session;
    // Nothing is written that is known: what is written holds the tokens as this tab knows them, and another may have newer ones.
    if (kept?.user?.user === user.user && JSON.stringify(kept.user) !== JSON.stringify(user)) this.store.set({ ...kept, user });
    return me;
  }
  /** Changes what is given of the own profile; resolves with all of it. */
  async change(fields) {
    const { phone, created_at, ...user } = this.#known(await this.authorised('PATCH', '/me', fields));
    return user;
  }
  /** People by the beginnings of their names: `{users, next?}`, where `next` is the `after` of the following page. */
  search(q, { limit, after } = {}) {
    return this.authorised('GET', `/users/search?${new URLSearchParams({ q, ...(limit && { limit }), ...(after && { after }) })}`);
  }
  async sessions() { return (await this.authorised('GET', '/sessions')).sessions; }
  /** Ends a session; another than this one needs a recent proof, so `prove` as for `sensitive`. */
  revoke(session, prove) { return this.sensitive('DELETE', `/sessions/${encodeURIComponent(session)}`, undefined, prove); }
  revokeOthers(prove) { return this.sensitive('POST', '/sessions/revoke_others', undefined, prove); }
  async users(ids) { return (await this.authorised('GET', `/users?ids=${ids.map(encodeURIComponent).join(',')}`)).users; }
  /** Whether a user name can be had: `{available, reason?, message?}`. With the registration while there is no account yet. */
  userName(name, registration) {
    const path = `/users/name_available?user_name=${encodeURIComponent(name)}`;
    return registration ? this.call('GET', path, undefined, registration) : this.authorised('GET', path);
  }
  roomName(name) { return this.authorised('GET', `/rooms/name_available?name=${encodeURIComponent(name)}`); }
  userByName(name) { return this.authorised('GET', `/users/by_name/${encodeURIComponent(name)}`); }
}
