/** What all parts of the Lynk client library have in common: refusals, keys, times, listeners. See `lynk.js`. */

/** What the server, or the way to it, refused. `code` is stable; `message` is for people. */
export class LynkError extends Error {
  constructor(code, message, { retryable = false, retryAfterMs, requestId, status } = {}) {
    super(message || code);
    Object.assign(this, { name: 'LynkError', code, retryable, retryAfterMs, requestId, status });
  }
  static of(body, status) {
    const { code = 'unknown', message, retryable = false, retry_after_ms: retryAfterMs, request_id: requestId } = body;
    return new LynkError(code, message, { retryable, retryAfterMs, requestId, status });
  }
}

/** A UUID of version 7 for the time `millis`: the form of every idempotency key. */
export function uuidv7(millis = Date.now()) {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  for (let i = 0, shift = 2 ** 40; i < 6; i++, shift /= 256) bytes[i] = Math.floor(millis / shift) % 256;
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Milliseconds since 1970 of a time as the server writes it, or `NaN`. */
export const parseTime = (time) => (typeof time === 'number' ? time : Date.parse(time));

/** A token's life in milliseconds, as its issuer meant it and whatever this machine's clock says; `undefined` when unreadable. */
export function tokenLife(token) {
  try {
    const { iat, exp } = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
    return (exp - iat) * 1000 > 0 ? (exp - iat) * 1000 : undefined;
  } catch {
    return undefined;
  }
}

export class Emitter {
  #listeners = new Map();
  /** Calls `listener` for every event `name` from now on; the returned function stops it. */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name)?.delete(listener);
  }
  /** Resolves with the next event `name`. */
  once(name) {
    return new Promise((resolve) => { const off = this.on(name, (value) => { off(); resolve(value); }); });
  }
  emit(name, value) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      // One listener's mistake is not another's, and must not stop the connection.
      try { listener(value); } catch (error) { globalThis.reportError ? reportError(error) : console.error(error); }
    }
  }
}
