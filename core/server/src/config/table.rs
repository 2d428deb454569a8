//! The rows: every key with its field, its range and what it does. Those of `[limits]`, which the engine enforces, are in `limits`.

mod limits;

use super::keys::{Field, Key, PRICE_MAX, Unit};
use limits::LIMITS;

const MINUTE: u64 = 60_000;
const DAY: u64 = 86_400_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn key(path: &'static str, field: Field, effect: &'static str) -> Key {
    Key { path, field, live: false, effect }
}
const fn live(path: &'static str, field: Field, effect: &'static str) -> Key {
    Key { path, field, live: true, effect }
}
macro_rules! media {
    ($name:literal, $field:ident, $kind:ident, $unit:ident, $low:expr, $high:expr, $effect:literal) => {
        key(
            concat!("media.", $name),
            Field::$kind(|c| &mut c.media.$field, Unit::$unit, $low, $high),
            $effect,
        )
    };
}

/// Every key, section by section. The order is that of the documentation.
pub(crate) static KEYS: &[Key] = &joined::<{ SECTIONS.len() + LIMITS.len() }>(SECTIONS, LIMITS);

const fn joined<const N: usize>(first: &[Key], second: &[Key]) -> [Key; N] {
    let mut all = [first[0]; N];
    let mut row = 0;
    while row < N {
        all[row] = if row < first.len() { first[row] } else { second[row - first.len()] };
        row += 1;
    }
    all
}

/// All sections but `[limits]`, which is the last one.
const SECTIONS: &[Key] = &[
    key(
        "listen.address",
        Field::Address(|c| &mut c.listen),
        "Where clients connect. Every shard listens on it. Loopback by default: choose an outside address on purpose.",
    ),
    key(
        "listen.backlog",
        Field::U32(|c| &mut c.listen_backlog, Unit::Count, 1, 65_535),
        "Connections of one shard that the kernel completes before they are accepted; sysctl `net.core.somaxconn` caps it.",
    ),
    key(
        "listen.send_buffer_bytes",
        Field::U32(|c| &mut c.listen_send_buffer_bytes, Unit::Bytes, 0, 16 << 20),
        "`SO_SNDBUF` of a connection, which the kernel doubles: what a slow reader costs in kernel memory. 0 leaves the size to the kernel, and its memory out of the memory contract.",
    ),
    key(
        "listen.user_timeout",
        Field::U32(|c| &mut c.listen_user_timeout_millis, Unit::Millis, 1_000, 3_600_000),
        "`TCP_USER_TIMEOUT` of a connection: sent data that the peer's kernel does not acknowledge for so long ends it.",
    ),
    key(
        "listen.half_open_max",
        Field::U32(|c| &mut c.listen_half_open_max, Unit::Count, 1, 10_000_000),
        "Connections of one shard whose request head is incomplete; further ones are closed unanswered.",
    ),
    key(
        "listen.head_timeout",
        Field::U64(|c| &mut c.listen_head_millis, Unit::Millis, 100, 600_000),
        "Time from the accept to a complete request head; then 408.",
    ),
    key("listen.path", Field::Text(|c| &mut c.listen_path), "Path of the WebSocket; begins with a slash."),
    key(
        "listen.origins",
        Field::Words(|c| &mut c.listen_origins),
        "Browser origins (`https://chat.example`) that may connect and read HTTP answers besides the server's own, as browsers send them: without a path, a final slash or the scheme's usual port. Programs send none and always may.",
    ),
    key(
        "listen.trusted_proxies",
        Field::Networks(|c| &mut c.listen_trusted_proxies),
        "Peers (`10.0.0.0/8`, `::1`) that may say who their clients are, by a PROXY protocol header of version 2, `Forwarded` or `X-Forwarded-For`. From everyone else these mean nothing. List only proxies that always send one of them.",
    ),
    key(
        "api.connections_max",
        Field::U32(|c| &mut c.api_connections_max, Unit::Count, 1, 1_000_000),
        "HTTP connections besides WebSockets, at most, and no more than a quarter of the open files; the next is answered 503.",
    ),
    key(
        "api.connections_per_network_max",
        Field::U32(|c| &mut c.api_connections_per_network_max, Unit::Count, 0, 1_000_000),
        "Of these, from one network (IPv4 /24, IPv6 /48); the next is answered 429. 0 for no limit.",
    ),
    key(
        "api.request_timeout",
        Field::U64(|c| &mut c.api_request_millis, Unit::Millis, 100, 600_000),
        "Time for one HTTP request, from its head until its answer begins. Commands have 15 s of it.",
    ),
    key("admin.enabled", Field::Switch(|c| &mut c.admin_enabled), "Whether there is an admin listener."),
    key(
        "admin.address",
        Field::Address(|c| &mut c.admin_listen),
        "Where `/livez`, `/readyz`, `/startupz`, `/metrics` and `/version` are served, without authentication: keep it on loopback or a private network.",
    ),
    key(
        "data.dir",
        Field::Path(|c| &mut c.data_dir),
        "Everything the server keeps. Made at first start. One process at a time.",
    ),
    key(
        "shards.count",
        Field::U16(|c| &mut c.shard_count, Unit::Count, 0, 256),
        "Shard threads. 0: one less than the usable cores, at least one. May change at any restart.",
    ),
    key(
        "shards.pin",
        Field::Choice(|c| &mut c.shard_pin),
        "Whether each shard thread stays on one core. `auto`: with four usable cores or more.",
    ),
    key(
        "shards.backend",
        Field::Choice(|c| &mut c.shard_backend),
        "How shards talk to the kernel. `auto`: io_uring, or epoll with a warning where io_uring is refused.",
    ),
    key(
        "auth.issuer",
        Field::Text(|c| &mut c.auth_issuer),
        "Claim `iss` of access tokens, issued and accepted.",
    ),
    key(
        "auth.audience",
        Field::Text(|c| &mut c.auth_audience),
        "Claim `aud` of access tokens, issued and accepted.",
    ),
    key(
        "codes.life",
        Field::U64(|c| &mut c.codes.life_millis, Unit::Millis, 1_000, 10 * MINUTE),
        "How long a code is good.",
    ),
    key(
        "codes.tries_max",
        Field::U32(|c| &mut c.codes.tries_max, Unit::Count, 1, 10),
        "Wrong tries of one code; the last one ends it. Times one more than `per_number_day` it must not exceed 50: that bounds the odds of guessing to 5 in 100,000 per number and day.",
    ),
    key(
        "codes.resend",
        Field::U64(|c| &mut c.codes.resend_millis, Unit::Millis, 1_000, 60 * MINUTE),
        "Time between two codes to one number.",
    ),
    key(
        "codes.per_number_day",
        Field::U32(|c| &mut c.codes.per_number_day, Unit::Count, 1, 10),
        "Codes to one number in a day. Further requests are answered alike and send nothing.",
    ),
    key(
        "codes.per_address_hour",
        Field::U32(|c| &mut c.codes.per_address_hour, Unit::Count, 0, 1_000_000),
        "Codes that one address (IPv4; IPv6 /48) may ask for in an hour; 0 for no limit.",
    ),
    key(
        "codes.per_prefix_hour",
        Field::U32(|c| &mut c.codes.per_prefix_hour, Unit::Count, 0, 10_000),
        "Codes in an hour to numbers that differ in their last four digits only, as those that are bought together do; 0 for no limit.",
    ),
    key(
        "codes.messages_hour",
        // Less than codes that may wait: a code lives ten minutes at most.
        Field::U32(|c| &mut c.codes.messages_hour, Unit::Count, 1, 90_000),
        "Codes in an hour over all numbers: what a thief of messages can cost. Further requests answer `rate_limited`.",
    ),
    key(
        "codes.messages_day",
        Field::U32(|c| &mut c.codes.messages_day, Unit::Count, 1, 2_000_000),
        "Codes in a day over all numbers.",
    ),
    key(
        "codes.price",
        Field::U32(|c| &mut c.codes.price, Unit::Money, 0, PRICE_MAX),
        "What a message costs to a country that `prices` does not name, in the currency of the bill, to four places. Take the dearest that you mean to pay.",
    ),
    key(
        "codes.prices",
        Field::Prices(|c| &mut c.codes.prices),
        "What a message costs by country (ISO 3166), such as `\"DE=0.0950\"`.",
    ),
    key(
        "codes.spend_day",
        Field::U32(|c| &mut c.codes.spend_day, Unit::Money, 0, 400_000 * 10_000),
        "Money for codes in a day, by these prices, counted before a message is sent. Further requests answer `rate_limited`. 0 for no limit but that of `messages_day`.",
    ),
    key(
        "codes.countries",
        Field::Words(|c| &mut c.codes.countries),
        "Countries (ISO 3166, `DE`) whose numbers get codes; none listed is all.",
    ),
    key(
        "codes.attempts_per_address_minute",
        Field::U32(|c| &mut c.codes.attempts_per_address_minute, Unit::Count, 0, 1_000_000),
        "Requests of one address in a minute that ask for, try or use a code; 0 for no limit.",
    ),
    key(
        "sessions.access_ttl",
        Field::U64(
            |c| &mut c.sessions.access_millis,
            Unit::Millis,
            1_000,
            lynk_auth::SESSION_TOKEN_MILLIS_MAX,
        ),
        "Life of an access token.",
    ),
    key(
        "sessions.refresh_idle",
        Field::U64(|c| &mut c.sessions.idle_millis, Unit::Millis, MINUTE, 365 * DAY),
        "A session that gets no new tokens for so long ends.",
    ),
    key(
        "sessions.refresh_life",
        Field::U64(|c| &mut c.sessions.life_millis, Unit::Millis, MINUTE, 3_650 * DAY),
        "A session ends after so long, however much it is used.",
    ),
    key(
        "sessions.refresh_grace",
        Field::U64(|c| &mut c.sessions.grace_millis, Unit::Millis, 0, 2 * MINUTE),
        "Time in which a refresh token that was used gives the same successor again. Later it ends the session: somebody else has it.",
    ),
    key(
        "sessions.per_account_max",
        Field::U32(|c| &mut c.sessions.sessions_max, Unit::Count, 1, 1_000),
        "Sessions of one account; a further sign-in ends the one that was not used for longest.",
    ),
    key(
        "factors.issuer",
        Field::Text(|c| &mut c.factors.issuer),
        "What authenticator apps show beside the name of an account: at most 64 bytes; a colon becomes a space.",
    ),
    key(
        "factors.required",
        Field::Switch(|c| &mut c.factors.required),
        "Whether everybody has to have an authenticator app: who has none can do nothing but turn one on, with sessions of before from their next refresh on, and nobody turns it off.",
    ),
    key(
        "erase.files_kept",
        Field::U64(|c| &mut c.erase.files_kept_millis, Unit::Millis, 0, 3_650 * DAY),
        "What receipts of erasures promise of the message log's files: when they are rewritten without what was deleted. The operator sees to it.",
    ),
    key(
        "erase.backups_kept",
        Field::U64(|c| &mut c.erase.backups_kept_millis, Unit::Millis, 0, 3_650 * DAY),
        "What they promise of backups: how old the oldest one gets.",
    ),
    key(
        "erase.logs_kept",
        Field::U64(|c| &mut c.erase.logs_kept_millis, Unit::Millis, 0, 3_650 * DAY),
        "What they promise of the server's log.",
    ),
    key(
        "erase.events_kept",
        Field::U64(|c| &mut c.erase.events_kept_millis, Unit::Millis, 0, 3_650 * DAY),
        "What they promise of events in other systems, where there are any: the retention of their topics.",
    ),
    key(
        "sms.provider",
        Field::Choice(|c| &mut c.sms_provider),
        "Who sends codes. `console`: nobody, they are shown on this machine, for development; refused when `listen.address` is not loopback. `twilio`: section `[twilio]`. `none`: there are no codes.",
    ),
    key(
        "sms.console",
        Field::Choice(|c| &mut c.sms_console),
        "Where `console` shows codes: on standard error (`terminal`), in `dev-sms.txt` of the data directory (`file`), or where there is a terminal there, else in the file (`auto`).",
    ),
    key("twilio.account_sid", Field::Optional(|c| &mut c.twilio.account_sid), "SID of the account, `AC…`."),
    key(
        "twilio.key_sid",
        Field::Optional(|c| &mut c.twilio.key_sid),
        "SID of an API key, `SK…`, which can be revoked by itself. None: `secret_file` holds the account's token.",
    ),
    key(
        "twilio.secret_file",
        Field::Optional(|c| &mut c.twilio.secret_file),
        "File with the key's secret, or with the account's token. Read at start.",
    ),
    key(
        "twilio.sender",
        Field::Optional(|c| &mut c.twilio.sender),
        "Who messages are from: a number of the account (`+15005550006`), a name where networks allow one, or the SID of a messaging service, `MG…`.",
    ),
    key(
        "twilio.public_url",
        Field::Optional(|c| &mut c.twilio.public_url),
        "Where Twilio reaches this server (`https://chat.example`), so that it tells what becomes of messages. Signatures are checked against this URL, whatever a proxy makes of the request. None: it tells nothing.",
    ),
    key(
        "twilio.auth_token_file",
        Field::Optional(|c| &mut c.twilio.auth_token_file),
        "File with the account's token, with which Twilio signs what it tells; a second line may hold the next one while it is being changed. Needed with `public_url`.",
    ),
    key(
        "twilio.api_url",
        Field::Text(|c| &mut c.twilio.api_url),
        "Twilio's API; another one for a region or a test. Plain http is for loopback only.",
    ),
    key(
        "twilio.ca_file",
        Field::Optional(|c| &mut c.twilio.ca_file),
        "File with certificates of authorities (PEM), of which the API's must be. None: those of the operating system.",
    ),
    key(
        "twilio.timeout",
        Field::U64(|c| &mut c.twilio.timeout_millis, Unit::Millis, 1_000, MINUTE),
        "Time for one message, with its repeats. What was sent and has no answer by then is not sent again.",
    ),
    key(
        "push.provider",
        Field::Choice(|c| &mut c.push.provider),
        "Who brings notifications to devices. `console`: nobody, their ids are written to `dev-push.txt` of the data directory, for development. `fcm`: Firebase Cloud Messaging. `none`: nobody, and no device can be registered.",
    ),
    key(
        "push.run",
        Field::Choice(|c| &mut c.push.run),
        "Who decides about notifications and sends them: the server (`server`), or a process of its own, `lynk notify` (`separate`), which reads events from Kafka and needs all stores outside.",
    ),
    key(
        "push.window",
        Field::U64(|c| &mut c.push.window_millis, Unit::Millis, 1_000, 60 * MINUTE),
        "A room notifies a person once in such a time; the newest message wins, and the badge counts all.",
    ),
    key(
        "push.large_room",
        Field::U32(|c| &mut c.push.large_room, Unit::Count, 1, 10_000),
        "Rooms with more members notify of mentions only, but for those who have set that they want everything.",
    ),
    key(
        "push.life",
        Field::U64(|c| &mut c.push.life_millis, Unit::Millis, MINUTE, 28 * DAY),
        "How old a message may be when its notification goes out, and how long a provider keeps one for a device that is away.",
    ),
    key(
        "push.attempts_max",
        Field::U32(|c| &mut c.push.attempts_max, Unit::Count, 1, 100),
        "Tries of a notification before it is given up.",
    ),
    key(
        "push.retry_min",
        Field::U64(|c| &mut c.push.retry_min_millis, Unit::Millis, 100, 60 * MINUTE),
        "Longest pause before the second try; each further one doubles it. Half of a pause is by chance, and a provider's `Retry-After` is obeyed.",
    ),
    key(
        "push.retry_max",
        Field::U64(|c| &mut c.push.retry_max_millis, Unit::Millis, 100, DAY),
        "Longest pause between two tries.",
    ),
    key(
        "push.keep",
        Field::U64(|c| &mut c.push.keep_millis, Unit::Millis, 60 * MINUTE, 90 * DAY),
        "How long it is remembered why somebody was notified or not, for `lynk why`.",
    ),
    key(
        "push.keep_rows",
        Field::U32(|c| &mut c.push.keep_rows, Unit::Count, 1_000, 100_000_000),
        "How many decisions, and how many notifications, are remembered at most; the oldest go.",
    ),
    key(
        "push.fcm_account_file",
        Field::Optional(|c| &mut c.push.fcm_account_file),
        "File with the key of a Firebase service account (JSON). Read at start.",
    ),
    key(
        "push.fcm_api_url",
        Field::Text(|c| &mut c.push.fcm_api_url),
        "Firebase's API; another one for a test. Plain http is for loopback only.",
    ),
    key(
        "push.fcm_ca_file",
        Field::Optional(|c| &mut c.push.fcm_ca_file),
        "File with certificates of authorities (PEM), of which Firebase's must be. None: those of the operating system.",
    ),
    key(
        "push.timeout",
        Field::U64(|c| &mut c.push.timeout_millis, Unit::Millis, 1_000, MINUTE),
        "Time for one try.",
    ),
    key(
        "media.enabled",
        Field::Switch(|c| &mut c.media.enabled),
        "Whether people can upload pictures and files.",
    ),
    key(
        "media.directory",
        Field::Optional(|c| &mut c.media.directory),
        "Directory of the files, which one server at a time may have. None: `blobs` in the data directory.",
    ),
    key(
        "media.store",
        Field::Choice(|c| &mut c.media.store),
        "Where files are kept that were looked at: in the directory (`directory`), or in a bucket (`s3`, section `[s3]`), and uploads in the directory until they are there.",
    ),
    media!(
        "staging_bytes_max",
        staging_bytes_max,
        U64,
        Bytes,
        1,
        1_048_576 * GIB,
        "Bytes of uploads that may be in the directory on their way into the bucket, at least those of the largest file; at the limit uploads are answered `storage_full`."
    ),
    key(
        "media.types",
        Field::Words(|c| &mut c.media.types),
        "Types that may be uploaded, such as `image/png`. Empty: all that the server knows by their first bytes; `docs/media.md` lists them.",
    ),
    media!("image_bytes_max", image_bytes_max, U64, Bytes, 1, 64 * GIB, "Bytes of a picture."),
    media!("video_bytes_max", video_bytes_max, U64, Bytes, 1, 64 * GIB, "Bytes of a film or sound."),
    media!("file_bytes_max", file_bytes_max, U64, Bytes, 1, 64 * GIB, "Bytes of anything else."),
    media!("avatar_bytes_max", avatar_bytes_max, U64, Bytes, 1, 64 * GIB, "Bytes of an avatar."),
    key(
        "media.quota_bytes",
        Field::U64(|c| &mut c.media.quota_bytes, Unit::Bytes, 1, 1_048_576 * GIB),
        "Bytes of all files of an account, those that are awaited among them.",
    ),
    media!("uploads_per_day", uploads_per_day, U32, Count, 1, 1_000_000, "Uploads of an account in a day."),
    media!("open_max", open_max, U32, Count, 1, 10_000, "Uploads of an account that are not finished."),
    key(
        "media.uploads_max",
        Field::U32(|c| &mut c.media.uploads_max, Unit::Count, 1, 10_000),
        "Uploads at a time, of everybody; the next is answered `busy`. Each takes 256 KiB.",
    ),
    key(
        "media.downloads_max",
        Field::U32(|c| &mut c.media.downloads_max, Unit::Count, 1, 100_000),
        "Downloads at a time, of everybody; the next is answered `busy`. Each takes 256 KiB.",
    ),
    key(
        "media.uploads_per_account_max",
        Field::U32(|c| &mut c.media.uploads_per_account_max, Unit::Count, 1, 10_000),
        "Uploads at a time of one account; its next is answered `busy`.",
    ),
    key(
        "media.downloads_per_account_max",
        Field::U32(|c| &mut c.media.downloads_per_account_max, Unit::Count, 1, 100_000),
        "Downloads at a time of one account; its next is answered `busy`.",
    ),
    key(
        "media.idle_timeout",
        Field::U64(|c| &mut c.media.idle_millis, Unit::Millis, 100, 600_000),
        "Time in which the next bytes of an upload must come, or those of a download be taken.",
    ),
    key(
        "media.rate_min",
        Field::U64(|c| &mut c.media.rate_min, Unit::Bytes, 0, GIB),
        "Bytes a second that an upload or a download must have on average after its first half minute; 0 for no least rate.",
    ),
    key(
        "media.unfinished_after",
        Field::U64(|c| &mut c.media.unfinished_millis, Unit::Millis, 1_000, 7 * DAY),
        "Age at which an upload that is not finished is given up.",
    ),
    key(
        "media.unused_after",
        Field::U64(|c| &mut c.media.unused_millis, Unit::Millis, 1_000, 30 * DAY),
        "Age at which a file that nobody put anywhere is given up.",
    ),
    key(
        "media.sweep_every",
        Field::U64(|c| &mut c.media.sweep_millis, Unit::Millis, 100, DAY),
        "Time between two looks for files that nobody needs any more.",
    ),
    key(
        "media.scan_command",
        Field::Words(|c| &mut c.media.scan_command),
        "Program that looks for harmful files, and its arguments; the path of the file follows. It ends with 0 for a clean file and 1 for a harmful one; with anything else, or too late, the file waits and is tried again. Nobody gets a file before. None: no such look.",
    ),
    key(
        "media.scan_timeout",
        Field::U64(|c| &mut c.media.scan_millis, Unit::Millis, 100, 3_600_000),
        "Time that it has for a file.",
    ),
    key(
        "s3.endpoint",
        Field::Optional(|c| &mut c.media.s3.endpoint),
        "URL of the service, without path and bucket. Plain http is for loopback only.",
    ),
    key(
        "s3.public_endpoint",
        Field::Optional(|c| &mut c.media.s3.public_endpoint),
        "The same as readers reach it, where `presigned_reads` sends them on and that is another name. None: `endpoint`. It must not be a name of this server.",
    ),
    key("s3.region", Field::Text(|c| &mut c.media.s3.region), "Its region, which is part of each signature."),
    key(
        "s3.bucket",
        Field::Optional(|c| &mut c.media.s3.bucket),
        "The bucket, which must be there. What is in it is Lynk's alone, below the prefix.",
    ),
    key(
        "s3.path_style",
        Field::Switch(|c| &mut c.media.s3.path_style),
        "Whether the bucket's name is in the path of URLs, as services of one's own want it, and not in the host's name.",
    ),
    key(
        "s3.prefix",
        Field::Optional(|c| &mut c.media.s3.prefix),
        "What names of objects begin with, such as `lynk/`. Each server needs one of its own in a shared bucket.",
    ),
    key(
        "s3.access_key",
        Field::Optional(|c| &mut c.media.s3.access_key),
        "Id of the access key. Its secret is `lynk_s3.password` in `credentials.dir`, read at start.",
    ),
    key(
        "s3.encryption",
        Field::Text(|c| &mut c.media.s3.encryption),
        "How the service encrypts objects: as the bucket says (`bucket`), with its keys (`aes256`), or with a key of its key management (`kms:<id>`).",
    ),
    key(
        "s3.ca_file",
        Field::Optional(|c| &mut c.media.s3.ca_file),
        "File with certificates of authorities (PEM), of which the service's must be. None: those of the operating system.",
    ),
    key(
        "s3.timeout",
        Field::U64(|c| &mut c.media.s3.timeout_millis, Unit::Millis, 1_000, 10 * MINUTE),
        "Time for one request, of 8 MiB at most.",
    ),
    key(
        "s3.presigned_reads",
        Field::U64(|c| &mut c.media.s3.presigned_millis, Unit::Millis, 0, 5 * MINUTE),
        "Where this is 1s or more, who reads a file of a message is sent on to the bucket by a URL that is good for so long, and the file does not pass through the server. Whoever has such a URL may read that file so long, also after being removed from the room. 0: all bytes pass through the server.",
    ),
    key(
        "rooms.default_level",
        Field::Choice(|c| &mut c.room_level),
        "Durability of acknowledgements in rooms that were created without one. `memory`: accepted; `local`: synced to the journal; `replicated`: confirmed by an outside store.",
    ),
    key(
        "journal.segment_bytes",
        Field::U64(|c| &mut c.journal_segment_bytes, Unit::Bytes, 4 * MIB, 2 * GIB),
        "Size of a journal segment. Each shard has a few allocated ahead.",
    ),
    key(
        "journal.disk_bytes_max",
        Field::U64(|c| &mut c.journal_disk_bytes_max, Unit::Bytes, 16 * MIB, 1 << 50),
        "Disk budget of the journal. When the message store, or Kafka where events go there, is behind by this much, sends answer `storage_full`.",
    ),
    key(
        "store.cache_bytes",
        Field::U64(|c| &mut c.store_cache_bytes, Unit::Bytes, MIB, 1 << 40),
        "Memory for blocks read from the message log.",
    ),
    key(
        "store.memtable_bytes",
        Field::U64(|c| &mut c.store_memtable_bytes, Unit::Bytes, MIB, 4 * GIB),
        "Memory in which the message log collects what it has not written to a table yet; about four of these may exist.",
    ),
    key(
        "store.relational",
        Field::Choice(|c| &mut c.outside.relational),
        "Where rooms, members, bans and accounts are kept: in the data directory, or in PostgreSQL (section `postgres`). `lynk migrate` makes its tables.",
    ),
    key(
        "store.messages",
        Field::Choice(|c| &mut c.outside.messages),
        "Where the message log is kept: in the data directory, or in Cassandra or ScyllaDB (section `cassandra`). The journal stays in the data directory and drains into it.",
    ),
    key(
        "store.ephemeral",
        Field::Choice(|c| &mut c.outside.ephemeral),
        "Where codes, registrations and tickets wait: in the memory of this process, or in Redis (section `redis`) for several processes. While Redis is away each process goes on by itself.",
    ),
    key(
        "store.presence_lease",
        Field::U64(|c| &mut c.outside.presence_lease_millis, Unit::Millis, 3_000, 10 * MINUTE),
        "How long the users of a process that was killed seem online to other processes (`store.ephemeral`). About 680 users per second of it are mirrored, as leases are held by at most 2,048 changes a second.",
    ),
    key(
        "store.start_wait",
        Field::U64(|c| &mut c.outside.start_wait_millis, Unit::Millis, 0, 60 * MINUTE),
        "How long a start waits for outside stores that cannot be reached. Once started, the server goes on without them.",
    ),
    key(
        "credentials.dir",
        Field::Path(|c| &mut c.outside.credentials_dir),
        "Identities for outside systems: of each role `<role>.crt`, `<role>.key` and `<role>.password`, in PEM and plain text; keys and passwords readable for their owner only, or owner and group.",
    ),
    key(
        "postgres.host",
        Field::Text(|c| &mut c.outside.postgres.host),
        "Name or address of PostgreSQL. Its certificate must be for it: a connection is TLS with both certificates checked, always.",
    ),
    key(
        "postgres.port",
        Field::U16(|c| &mut c.outside.postgres.port, Unit::Count, 1, 65_535),
        "TCP port of PostgreSQL.",
    ),
    key("postgres.database", Field::Text(|c| &mut c.outside.postgres.database), "Database."),
    key(
        "postgres.ca",
        Field::Path(|c| &mut c.outside.postgres.ca),
        "PEM file of the authority that signed PostgreSQL's certificate; no other is trusted. Relative to `credentials.dir`.",
    ),
    key(
        "postgres.pool_size",
        Field::U32(|c| &mut c.outside.postgres.pool_size, Unit::Count, 1, 64),
        "Connections to PostgreSQL that each role may have: `lynk_rooms`, `lynk_accounts` and `lynk_notify`.",
    ),
    key(
        "cassandra.nodes",
        Field::Words(|c| &mut c.outside.cassandra.nodes),
        "Nodes to begin with, `host:port`; they tell of the others. A node's certificate must be for its address.",
    ),
    key(
        "cassandra.datacenter",
        Field::Text(|c| &mut c.outside.cassandra.datacenter),
        "The data centre that is asked, and whose quorum decides.",
    ),
    key("cassandra.keyspace", Field::Text(|c| &mut c.outside.cassandra.keyspace), "Keyspace."),
    key(
        "cassandra.ca",
        Field::Path(|c| &mut c.outside.cassandra.ca),
        "PEM file of the authority that signed the nodes' certificates; no other is trusted. Relative to `credentials.dir`.",
    ),
    key(
        "cassandra.replicas",
        Field::U16(|c| &mut c.outside.cassandra.replicas, Unit::Count, 1, 16),
        "Copies of each row in the data centre, for a keyspace that `lynk migrate` makes; one that exists keeps its own. 3 survive the loss of a node.",
    ),
    key(
        "redis.host",
        Field::Text(|c| &mut c.outside.redis.host),
        "Name or address of Redis. Its certificate must be for it: a connection is TLS with both certificates checked, always, as the user `lynk_ephemeral`.",
    ),
    key(
        "redis.port",
        Field::U16(|c| &mut c.outside.redis.port, Unit::Count, 1, 65_535),
        "TCP port of Redis.",
    ),
    key(
        "redis.prefix",
        Field::Text(|c| &mut c.outside.redis.prefix),
        "What all keys begin with, before a colon; the user's rights name it.",
    ),
    key(
        "redis.ca",
        Field::Path(|c| &mut c.outside.redis.ca),
        "PEM file of the authority that signed Redis's certificate; no other is trusted. Relative to `credentials.dir`.",
    ),
    key(
        "redis.call_time",
        Field::U64(|c| &mut c.outside.redis.call_millis, Unit::Millis, 10, 5_000),
        "How long one call to Redis may take; after one that takes longer the server goes on without Redis until a probe is answered.",
    ),
    key(
        "events.sink",
        Field::Choice(|c| &mut c.outside.events.sink),
        "Where events for other systems go: nowhere, or to Kafka (section `kafka`), from journals and the store of accounts, at least once.",
    ),
    key(
        "events.include_body",
        Field::Switch(|c| &mut c.outside.events.include_body),
        "Whether events carry what people wrote: texts, emoji, reasons. What has left cannot be erased here.",
    ),
    key(
        "events.envelope",
        Field::Choice(|c| &mut c.outside.events.envelope),
        "Envelope of CloudEvents 1.0: none, its attributes as headers (`binary`), or around the event (`structured`).",
    ),
    key(
        "events.source",
        Field::Text(|c| &mut c.outside.events.source),
        "Attribute `source` of the envelope: a URI reference that names this installation.",
    ),
    key(
        "kafka.bootstrap",
        Field::Words(|c| &mut c.outside.kafka.bootstrap),
        "Brokers to begin with, `host:port`; they tell of the others. A broker's certificate must be for its name: a connection is TLS with both certificates checked, always.",
    ),
    key(
        "kafka.ca",
        Field::Path(|c| &mut c.outside.kafka.ca),
        "PEM file of the authority that signed the brokers' certificates; no other is trusted. Relative to `credentials.dir`.",
    ),
    key(
        "kafka.timeout",
        Field::U64(|c| &mut c.outside.kafka.timeout_millis, Unit::Millis, 1_000, 60_000),
        "Time for one batch until all in-sync replicas have it; then it is given again.",
    ),
    key(
        "drain.timeout",
        Field::U64(|c| &mut c.drain_millis, Unit::Millis, 0, 3_600_000),
        "After SIGTERM connections are closed spread over this time; then the process ends. A second SIGTERM ends it at once.",
    ),
    live("log.level", Field::Choice(|c| &mut c.log_level), "Least severe log line."),
    key("log.format", Field::Choice(|c| &mut c.log_format), "Form of log lines on standard output."),
    key(
        "debug.core_dumps",
        Field::Switch(|c| &mut c.debug_core_dumps),
        "Allows core files and debuggers. Off, because memory holds messages and keys.",
    ),
];
