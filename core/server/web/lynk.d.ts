/** Types of `lynk.js`. The fields of replies and events are those of `docs/protocol.md`. */

export type Id = string;
export type Time = string | number;

/** What a socket is opened with: an access token, or a ticket that is used once. */
export type Access = string | { token: string } | { ticket: string };

export interface OutboxEntry {
  id: string;
  /** The idempotency key: the same on every attempt. */
  key: Id;
  op: string;
  fields: Record<string, unknown> & { room?: Id; text?: string; seq?: number };
  /** Fields of its event that the reply does not tell: the files of a message. */
  shown?: { attachments?: Attachment[] };
  /** Milliseconds since 1970, on the server's clock as far as it is known. */
  created: number;
  /** How often it was put on the wire. */
  tried: number;
  /** Why it was refused for good. It stays until `retry` or `discard`. */
  failed?: { code: string; message: string };
}

/** Keeps the outbox over restarts. */
export interface OutboxStore {
  load(): OutboxEntry[] | Promise<OutboxEntry[]>;
  put(entry: OutboxEntry): unknown;
  remove(id: string): unknown;
}

export interface Clock {
  now(): number;
  /** From 0 to 1. */
  random(): number;
  setTimeout(action: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

export interface LynkOptions {
  /** `wss://chat.example/ws`. */
  url: string;
  /**
   * Gets what to sign in with, before every connection and before a token ends. `force`: the last one was refused or is about to end. An error
   * with `retryable: false` ends the connection for good. `signal` is aborted when `wake()` no longer waits for the answer; what comes later
   * is not used.
   */
  token(want: { force: boolean; signal: AbortSignal }): Access | Promise<Access>;
  /** The global one when missing. */
  WebSocket?: new (url: string, protocol: string) => unknown;
  /** In memory when missing. */
  outbox?: OutboxStore;
  /** For tests. */
  clock?: Partial<Clock>;
}

export type Status =
  | { state: 'connecting' }
  /** Every room that was followed is up to date. */
  | { state: 'connected' }
  | { state: 'disconnected'; code: number; reason: string; willRetry: boolean; retryAt?: number };

export interface Cursor { epoch: number; seq: number }

export interface RoomEvent {
  ev: string;
  room: Id;
  seq: number;
  from: Id;
  time: Time;
  /** Made here from the `ok` of an own command. */
  own?: boolean;
  [field: string]: unknown;
}

export interface MessageEvent extends RoomEvent {
  ev: 'message';
  n: number;
  id: Id;
  text?: string;
  reply_to?: number;
  /** Users whom it mentions. */
  mentions?: Id[];
  /** It mentions everybody in the room. */
  mention_all?: boolean;
  /** The `seq` of the last edit. */
  edited?: number;
  /** The `seq` of the delete. */
  deleted?: number;
  reactions?: { emoji: string; users: Id[] }[];
  attachments?: Attachment[];
}

/** A file of a message. */
export interface Attachment {
  id: Id;
  /** Perhaps empty. */
  name: string;
  type: string;
  bytes: number;
  /** Of pictures, in pixels. */
  width?: number;
  height?: number;
}

export interface Gap { ev: 'gap'; room?: Id; from: number; to: number; reason: string }

export interface Subscribed {
  room: Id; epoch: number; top: number; top_n: number; read: number; unread?: number; mentions?: number; role: string; members: number;
  events: (RoomEvent | Gap)[]; covers: { from: number; to: number }; more: boolean;
}

export interface HistoryPage { room: Id; epoch: number; events: (RoomEvent | Gap)[]; covers: { from: number; to: number }; more: boolean }

export interface SyncRow {
  room: Id; kind: string; name: string; role: string; avatar?: Id | null; peer?: Id; epoch?: number; top?: number; read?: number; unread?: number; mentions?: number; active?: Time;
  /** One has deleted the past up to here; `hidden`: nothing was written since, so it is not to be listed. */
  cleared?: number; hidden?: boolean;
  /** Of a 1:1 that has to be accepted: `sent` for who began it, `received` for the other. */
  request?: 'sent' | 'received';
  /** No notifications before this time (milliseconds since 1970). */
  muted_until?: number;
  /** Notifications of mentions only (`true`) or of everything (`false`); missing for what the server does by itself. */
  mentions_only?: boolean;
}

export interface LynkEvents {
  state: Status;
  /** The `ok` of `hello`. */
  hello: Record<string, any>;
  /** The numbers of a room. `reset`: its history is another one; forget what you have. */
  subscribed: { room: Id; reply: Subscribed; first: boolean; reset: boolean };
  /** In the order of `seq`, each once. `counted`: the `unread` and `members` of the last `subscribed` speak for it already. */
  event: { room: Id; event: RoomEvent | Gap; counted: boolean };
  reset: { room: Id; event: Gap };
  /** The server refused a room for good. */
  unfollowed: { room: Id; error: LynkError };
  typing: { room: Id; user: Id; on: boolean };
  /** A room that is one's own from now on: made, joined, invited to, or a 1:1 that somebody opened. Of two of a room the higher `version` holds. */
  added: { room: Id; version: number; kind: string; name: string; role: string; peer?: Id; request?: 'sent' | 'received' };
  /** One is in the room no longer. */
  removed: { room: Id; version: number };
  /** One has deleted the past of a conversation for oneself, on whatever device: forget what is not after `upto`. */
  cleared: { room: Id; upto: number };
  /** `top`, `unread` and `mentions` (at the event `top`) and `marked` (it was set back by `mark_unread`) are there when the user is oneself. */
  read: { room: Id; user: Id; seq: number; top?: number; unread?: number; mentions?: number; marked?: boolean };
  delivered: { room: Id; user: Id; seq: number };
  presence: { user: Id; online: boolean };
  /** `open`: somebody asks to come into a room that one manages. `declined`: one's own request was. Best effort. */
  join_request: { room: Id; user: Id; state: 'open' | 'declined' };
  /** A report is in the queue of a room that one manages, or was resolved; not of reports about oneself. Best effort. */
  report: { room: Id; number: number; state: 'open' | 'resolved' };
  /** `user` has taken the conversation that waited. */
  conversation_accepted: { room: Id; user: Id };
  outbox: { entry?: OutboxEntry; failed?: LynkError; removed?: boolean; loaded?: boolean };
  /** The outbox store failed. */
  error: unknown;
}

/** Whom a message mentions; `mentionAll` is for moderators and above. */
export interface Whom { mentions?: Id[]; mentionAll?: boolean }

export interface Submitted { id: string; done: Promise<Record<string, any>> }

declare class Emitter<Events> {
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void;
  once<Name extends keyof Events>(name: Name): Promise<Events[Name]>;
}

export class LynkError extends Error {
  readonly code: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly requestId?: string;
  /** Of an HTTP answer. */
  readonly status?: number;
}

export class Lynk extends Emitter<LynkEvents> {
  constructor(options: LynkOptions);
  readonly status: Status;
  readonly hello?: Record<string, any>;
  readonly user?: Id;
  readonly online: boolean;
  readonly serverNow: number;
  /** Resolves when the outbox is loaded. */
  readonly ready: Promise<void>;
  readonly rooms: Id[];
  readonly outbox: OutboxEntry[];
  connect(): void;
  /** Connects at once when there is no connection, also when a token was asked for more than 5 s ago; otherwise sees whether it still lives. */
  wake(): void;
  close(code?: number, reason?: string): void;
  follow(room: Id, cursor?: Cursor): void;
  unfollow(room: Id): void;
  cursor(room: Id): Cursor | undefined;
  request(op: string, fields?: Record<string, unknown>): Promise<Record<string, any>>;
  tell(op: string, fields: Record<string, unknown>): void;
  submit(op: string, fields: Record<string, unknown>, shown?: Record<string, unknown>): Submitted;
  retry(id: string): void;
  discard(id: string): void;
  /** `attachments`: up to ten uploads that are ready; `text` may be empty then. */
  send(room: Id, text: string, options?: { replyTo?: number; attachments?: (Media | Attachment)[] } & Whom): Submitted;
  /** Says all of the message again: whom `whom` does not name is mentioned no longer. */
  edit(room: Id, seq: number, text: string, whom?: Whom): Submitted;
  delete(room: Id, seq: number): Submitted;
  react(room: Id, seq: number, emoji: string, on?: boolean): Submitted;
  read(room: Id, seq: number): void;
  delivered(room: Id, seq: number): void;
  typing(room: Id, on?: boolean): void;
  create(name: string, options?: { kind?: string; level?: string; visibility?: string }): Promise<{ room: Id; seq: number; version: number }>;
  /** `request` while the other has to accept. */
  direct(user: Id): Promise<{ room: Id; version?: number; request?: 'sent' | 'received' }>;
  find(name: string): Promise<{ room: Id }>;
  join(room: Id, code?: string): Promise<Record<string, any>>;
  leave(room: Id): Promise<Record<string, any>>;
  history(room: Id, options?: { before?: number; after?: number; at?: number | Time; epoch?: number; limit?: number; all?: boolean }): Promise<HistoryPage>;
  members(room: Id, options?: { after?: Id; limit?: number }): Promise<{ count: number; members: { user: Id; role: string; read?: number; delivered?: number }[]; more: boolean }>;
  here(room: Id): Promise<{ count: number; sample: boolean; users: Id[] }>;
  /** `next` is the `cursor` of the following page. */
  discover(name?: string, page?: { cursor?: string; limit?: number }): Promise<{ rooms: DiscoveredRoom[]; next?: string }>;
  requestJoin(room: Id, text?: string): Promise<Record<string, any>>;
  withdrawRequest(room: Id): Promise<Record<string, any>>;
  myRequests(page?: { after?: Id; limit?: number }): Promise<{ requests: OwnRequest[]; next?: Id }>;
  requests(room: Id, page?: { after?: Id; limit?: number }): Promise<{ room: Id; requests: { user: Id; at: string; until: string; text?: string }[]; more: boolean }>;
  acceptRequest(room: Id, user: Id): Promise<Record<string, any>>;
  declineRequest(room: Id, user: Id): Promise<Record<string, any>>;
  link(room: Id, limits?: { seconds?: number; uses?: number }): Promise<{ link: Id; code: string; until: string }>;
  links(room: Id): Promise<{ room: Id; links: { link: Id; by: Id; at: string; until: string; uses: number; max_uses?: number }[] }>;
  unlink(room: Id, link: Id): Promise<Record<string, any>>;
  look(code: string): Promise<{ room: Id; kind: string; name: string; description: string; avatar: Id | null; members: number; member: boolean }>;
  report(room: Id, reason: ReportReason, about?: { seq?: number; user?: Id; comment?: string }): Promise<Record<string, any>>;
  /** `before` is the last number of the page before. */
  reports(room: Id, page?: { state?: 'open' | 'resolved'; before?: number; limit?: number }): Promise<{ room: Id; reports: Report[]; more: boolean }>;
  resolveReport(room: Id, number: number, outcome: ReportOutcome, note?: string): Promise<Record<string, any>>;
  moderationLog(room: Id, page?: { before?: number; limit?: number }): Promise<{ room: Id; acts: ModerationAct[]; more: boolean }>;
  watch(users: Id[]): Promise<Record<string, any>>;
  unwatch(users: Id[]): Promise<Record<string, any>>;
  /** Takes a conversation that a stranger began, or refuses it; who began it is not told of the latter. */
  acceptConversation(room: Id): Promise<Record<string, any>>;
  declineConversation(room: Id): Promise<Record<string, any>>;
  sync(): Promise<SyncRow[]>;
}

/** A person as others see them. Of two with the same id the one with the greater `updated_at` is the newer. */
export interface User { user: Id; user_name: string; display_name: string; bio?: string; avatar?: Id | null; updated_at?: number }

export interface DiscoveredRoom { room: Id; name: string; description: string; avatar: Id | null; members: number; member: boolean; open: boolean }
export interface OwnRequest { room: Id; name?: string; avatar?: Id | null; state: 'open' | 'declined'; at: string; until: string; text?: string }
export type ReportReason = 'spam' | 'harassment' | 'hate' | 'violence' | 'sexual' | 'illegal' | 'other';
export type ReportOutcome = 'dismissed' | 'message_deleted' | 'member_kicked' | 'member_banned' | 'other';
export interface Report {
  number: number; kind: 'message' | 'user'; user: Id; seq?: number; text?: string; reason: ReportReason; comment?: string; at: string;
  outcome?: ReportOutcome; done?: string; by?: Id; note?: string;
}
export interface ModerationAct {
  number: number; at: string; by: Id; what: string; user?: Id; link?: Id; until?: string; role?: string; seq?: number; report?: number; reason?: string;
}

export type MediaState = 'pending' | 'scanning' | 'ready' | 'rejected';
export type RejectedReason = 'unknown_type' | 'other_type' | 'damaged' | 'too_large' | 'too_slow' | 'infected' | 'not_scanned';
/** A file, as its owner sees it. */
export interface Media {
  media: Id; purpose: 'attachment' | 'avatar' | 'room_avatar'; room?: Id; name: string; type: string; bytes: number; state: MediaState;
  reason?: RejectedReason; width?: number; height?: number; variants: number[]; attached: boolean; created: number;
}

export interface UploadOptions {
  /** The room that it is for; not of an `avatar`. */
  room?: Id;
  purpose?: 'attachment' | 'avatar' | 'room_avatar';
  /** The file's own when missing. */
  name?: string;
  type?: string;
  /** Puts the bytes; XMLHttpRequest where there is one, since `fetch` tells no progress. */
  put?(url: string, body: Blob, type: string, more: { signal: AbortSignal; progress(sent: number): void }): Promise<{ status: number; text: string; retryAfter?: string | null }>;
}

/** One file on its way to the server. */
export class Upload extends Emitter<{ change: Upload }> {
  constructor(account: LynkAccount, file: Blob & { name?: string }, options?: UploadOptions);
  readonly state: 'new' | 'sending' | 'looking' | 'ready' | 'failed' | 'cancelled';
  readonly name: string;
  readonly type: string;
  readonly bytes: number;
  readonly sent: number;
  readonly media?: Media;
  /** Why it failed; of `rejected` with the `reason`. */
  readonly error?: LynkError & { reason?: RejectedReason };
  /** Resolves when the file is ready to be attached. After a failure it may be called again, and goes on where it stopped. */
  start(): Promise<Media>;
  /** Stops it for good; what the server has of it is deleted. */
  cancel(): void;
}

export interface SessionTokens {
  access_token: string;
  /** Milliseconds since 1970, on this machine's clock. */
  access_until: number;
  refresh_token: string;
  refresh_expires_at: number;
  session: Id;
  user?: User;
  /** The server demands a second factor that the account does not have: until `confirmTotp`, all other calls answer `second_factor_required`. */
  second_factor_required?: true;
}

export interface LynkAccountOptions {
  /** `https://chat.example`; the page's own origin when missing. */
  base?: string;
  /** Keeps the tokens; in memory when missing. Several tabs must share it. */
  store?: { get(): SessionTokens | undefined; set(value: SessionTokens | undefined): void };
  /** Runs `action` while nobody else does; Web Locks where there are any. */
  lock?: <T>(name: string, action: () => Promise<T>) => Promise<T>;
  fetch?: typeof fetch;
  now?(): number;
}

/** `expired`: a refresh was refused. `revoked`: the server closed with 4002. `signed out`: by `signOut`. */
export type SignedOutReason = 'expired' | 'revoked' | 'signed out';

/** Whether a name can be had, for all that is known now. */
export interface Availability { available: boolean; reason?: 'taken' | 'invalid'; message?: string }

/** `secondfactor`: the tokens that came are good for turning on an authenticator app only, because the server demands one by now. */
export class LynkAccount extends Emitter<{ signedout: { reason: SignedOutReason }; secondfactor: {} }> {
  constructor(options?: LynkAccountOptions);
  readonly session?: SessionTokens;
  requestCode(phone: string): Promise<{ request_id: string; expires_in_ms: number; resend_in_ms: number }>;
  verify(request: string, code: string, device?: string): Promise<{ status: 'signed_in'; user: User } | { status: 'second_factor'; challenge: string; expires_in_ms: number } | { status: 'new'; registration: string }>;
  secondFactor(challenge: string, shown: SecondFactor, device?: string): Promise<{ status: 'signed_in'; user: User }>;
  register(registration: string, userName: string, displayName?: string, device?: string): Promise<{ status: 'signed_in'; user: User }>;
  /** Rejects with `retryable: false` only when the session is over. */
  token(want?: { force?: boolean; signal?: AbortSignal }): Promise<string>;
  signOut(): Promise<void>;
  signedOut(reason: SignedOutReason): void;
  upload(file: Blob & { name?: string }, options?: UploadOptions): Upload;
  media(media: Id): Promise<Media>;
  mediaUsage(): Promise<{ bytes: number; bytes_max: number; uploads: number; uploads_max: number; open: number; open_max: number }>;
  /** Only while nothing uses it. */
  deleteMedia(media: Id): Promise<void>;
  /** 0 (when missing) is the file, 1 fits into 320 pixels, 2 into 1,280. Good until `ends` on the server's clock, and for whoever asked. `code`: of a link into the room whose picture it is. */
  mediaLink(media: Id, variant?: 0 | 1 | 2, code?: string): Promise<{ url: string; ends: number }>;
  /** The whole address of what the server names relative to itself. */
  address(url: string): string;
  ticket(): Promise<{ ticket: string; expires_in_ms: number }>;
  me(): Promise<User & { phone: string; created_at: number }>;
  /** `avatar` is an upload of that purpose that is ready; `null` takes the picture away. */
  change(fields: { user_name?: string; display_name?: string; bio?: string; avatar?: Id | null }): Promise<User>;
  search(q: string, page?: { limit?: number; after?: string }): Promise<{ users: User[]; next?: string }>;
  sessions(): Promise<{ session: Id; device: string; created_at: number; last_used_at: number; current: boolean }[]>;
  /** Another session than this one ends after a recent proof: `prove` as for `sensitive`. */
  revoke(session: Id, prove: () => Promise<string>): Promise<void>;
  revokeOthers(prove: () => Promise<string>): Promise<{ revoked: number }>;
  users(ids: Id[]): Promise<User[]>;
  userByName(name: string): Promise<User>;
  userName(name: string, registration?: string): Promise<Availability>;
  roomName(name: string): Promise<Availability>;
  /** Answered within 15 s, or it rejects with `network`. `signal` calls it off before, where there is `AbortSignal.any`. */
  call(method: string, path: string, body?: unknown, token?: string, signal?: AbortSignal): Promise<any>;
  authorised(method: string, path: string, body?: unknown): Promise<any>;
  /** `prove` is asked when the server wants a recent proof; it resolves with the token of `stepUp`. */
  sensitive(method: string, path: string, body: unknown, prove: () => Promise<string>): Promise<any>;
  stepUpCode(): Promise<{ request_id: string; expires_in_ms: number; resend_in_ms: number }>;
  stepUp(shown: SecondFactor | { request_id: string; code: string }): Promise<string>;
  /** `required`: the server demands it of everybody, and it cannot be turned off. */
  totp(): Promise<{ enabled: boolean; enabled_at: number | null; recovery_codes_left: number; required: boolean }>;
  beginTotp(prove: () => Promise<string>): Promise<{ secret: string; uri: string; qr_svg: string; qr_png: string; expires_in_ms: number; replacement?: string }>;
  /** `replacing`: where an app is on, with the `replacement` of `beginTotp`. */
  confirmTotp(code: string, replacing?: { replacement: string; current_code: string } | { replacement: string; recovery_code: string }): Promise<RecoveryCodes>;
  endTotp(shown: SecondFactor): Promise<{ other_sessions: number }>;
  newRecoveryCodes(prove: () => Promise<string>): Promise<RecoveryCodes>;
  erase(userName: string, prove: () => Promise<string>): Promise<{ user: Id; erased_at: number; places: { place: string; what: string; until: number | null }[] }>;
  export(prove: () => Promise<string>): AsyncGenerator<{ format: 'lynk.export.v1'; made_at: number; account?: object; rooms: object[]; messages: object[]; next?: string }>;
}

export type SecondFactor = { code: string } | { recovery_code: string };
export interface RecoveryCodes { recovery_codes: string[]; other_sessions: number }

/** What a client has of one room. No I/O. */
export class RoomFlow {
  constructor(cursor?: Cursor);
  readonly cursor?: Cursor;
  readonly lacksPage: boolean;
  take(reply: Subscribed): { reset: boolean; events: (RoomEvent | Gap)[] };
  event(event: RoomEvent | Gap): (RoomEvent | Gap)[];
  page(page: HistoryPage): (RoomEvent | Gap)[];
  resync(resync: { epoch?: number; to: number }): void;
  disconnected(): void;
}

export function uuidv7(millis?: number): Id;
export function parseTime(time: Time): number;
export function tokenLife(token: string): number | undefined;
export function backoff(attempts: number, random: number, retryAfterMs?: number): number;
