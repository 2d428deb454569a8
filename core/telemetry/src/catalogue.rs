//! Every metric of the server, and the reference page made from the list.

use std::fmt::Write as _;

/// How a metric behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows while the process lives; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets; its name ends in `_seconds`.
    Histogram,
}

/// A label and all the values it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values; series refer to them by index.
    pub values: &'static [&'static str],
}

/// Kinds of failure of a store.
const STORE_ERRORS: Label = Label { name: "error", values: &["unavailable", "unknown", "corrupt"] };

/// Parts of the store bridge that fail on their own.
const STORE_CIRCUITS: Label = Label { name: "part", values: &["messages", "rooms"] };
const STORE_PARTS: Label = Label { name: "part", values: &["messages", "rooms", "drain"] };

/// Topics of events: those of `lynk_model::event`, in its order.
const TOPICS: Label = Label {
    name: "topic",
    values: &[
        "message.received",
        "message.created",
        "message.updated",
        "user.created",
        "room.changed",
        "notification.dead",
    ],
};

/// What goes over journals to make events, in the order of `lynk_model::event`.
const STREAMS: Label = Label { name: "stream", values: &["received", "created"] };

/// What becomes of second factors.
const FACTOR_OUTCOMES: Label = Label { name: "outcome", values: &["good", "wrong", "locked", "unreadable"] };

/// What becomes of work for the processor.
const IMAGE_OUTCOMES: Label =
    Label { name: "outcome", values: &["prepared", "refused", "too_large", "timed_out", "busy", "failed"] };
/// What becomes of uploads.
const UPLOAD_OUTCOMES: Label =
    Label { name: "outcome", values: &["begun", "refused", "received", "cut_off"] };

/// What is found out about uploads: ready, or why not, in the order of `lynk_model::media`; then what is tried again.
const LOOK_OUTCOMES: Label = Label {
    name: "outcome",
    values: &[
        "ready",
        "unknown_type",
        "other_type",
        "damaged",
        "too_large",
        "too_slow",
        "infected",
        "not_scanned",
        "again",
    ],
};

/// Which way bytes of files go.
const DIRECTIONS: Label = Label { name: "direction", values: &["in", "out"] };

/// Why a transfer of a file gets no place, or loses it.
const TRANSFER_REFUSALS: Label = Label {
    name: "reason",
    values: &[
        "uploads",
        "uploads_of_account",
        "upload_slow",
        "downloads",
        "downloads_of_account",
        "download_slow",
    ],
};

/// What is done with files that nobody needs.
const SWEPT: Label = Label { name: "step", values: &["doomed", "emptied", "forgotten", "lost", "carried"] };

const COMPUTE_OUTCOMES: Label = Label { name: "outcome", values: &["done", "busy"] };

/// Why a message is pushed or not, in the order of `lynk_model::notify`.
const PUSH_REASONS: Label = Label {
    name: "reason",
    values: &[
        "wanted",
        "sender",
        "active",
        "muted",
        "mentions_only",
        "large_room",
        "blocked",
        "not_member",
        "no_device",
        "old",
        "read",
        "request",
    ],
};

/// Where a push stands, in the order of `lynk_model::notify`.
const PUSH_STATES: Label = Label {
    name: "outcome",
    values: &["claimed", "waiting", "sent", "dead", "unregistered", "unknown", "dropped"],
};

/// Why a push failed, in the order of `lynk_model::notify`.
const PUSH_CAUSES: Label = Label {
    name: "cause",
    values: &[
        "none",
        "unregistered",
        "invalid",
        "sender",
        "third_party",
        "quota",
        "server",
        "credentials",
        "unreachable",
        "tls",
        "unanswered",
        "other",
        "not_wanted",
    ],
};

/// Kinds of failure of Kafka.
const KAFKA_ERRORS: Label =
    Label { name: "error", values: &["unavailable", "refused", "unknown", "corrupt"] };

/// Label values of refused commands: the wire's error codes, by their number; index 0 is never used by one.
const ERROR_CODES: Label = Label {
    name: "code",
    values: &[
        "none",
        "bad_request",
        "unknown_op",
        "invalid_field",
        "not_signed_in",
        "invalid_token",
        "token_expired",
        "room_not_found",
        "message_not_found",
        "not_a_member",
        "forbidden",
        "banned",
        "muted",
        "blocked",
        "too_large",
        "limit_reached",
        "rate_limited",
        "busy",
        "unavailable",
        "unknown",
        "storage_full",
        "idempotency_conflict",
        "key_expired",
        "clock_skew",
        "name_taken",
        "draining",
        "conflict",
        "slow_mode",
        "last_owner",
        "internal",
        "invalid_code",
        "user_not_found",
        "session_not_found",
        "step_up_required",
        "account_suspended",
        "attachment_not_ready",
        "attachment_not_found",
        "request_pending",
        "second_factor_required",
    ],
};

/// Label values of closes: the wire's close codes, in numeric order.
const CLOSE_CODES: Label = Label {
    name: "code",
    values: &[
        "1000", "1001", "1002", "1003", "1007", "1008", "1009", "1011", "1013", "4000", "4001", "4002",
        "4003", "4100", "4101", "4102", "4103", "4104",
    ],
};

/// Why an accepted socket was closed unanswered.
const ACCEPT_REFUSALS: Label = Label { name: "reason", values: &["full", "half_open", "failed"] };

/// How a frame went out.
const SEND_PATHS: Label = Label { name: "path", values: &["fast", "slow"] };

/// Kinds of HTTP answers.
const STATUS_CLASSES: Label = Label { name: "class", values: &["2xx", "3xx", "4xx", "5xx"] };

/// Why the API bridge closed a connection that a shard handed over.
const API_REFUSALS: Label = Label { name: "reason", values: &["full", "network"] };

/// What a ticket or a code was.
const GOOD_OR_BAD: Label = Label { name: "outcome", values: &["good", "bad"] };

/// What became of a call to Redis.
const REDIS_OUTCOMES: Label =
    Label { name: "outcome", values: &["done", "refused", "away", "unknown", "shed"] };

/// What became of a request to the bucket of files.
const S3_OUTCOMES: Label = Label { name: "outcome", values: &["done", "missing", "refused", "away", "shed"] };

/// What became of news for the mirror of presence.
const PRESENCE_OUTCOMES: Label = Label { name: "outcome", values: &["told", "dropped", "failed"] };

/// What the filter of names said.
const NAME_ANSWERS: Label = Label { name: "answer", values: &["free", "maybe", "unsure"] };

/// What became of a request for a code.
const CODE_OUTCOMES: Label =
    Label { name: "outcome", values: &["sent", "withheld", "refused", "failed", "unknown"] };

/// What became of a message at the carrier.
const SMS_OUTCOMES: Label =
    Label { name: "outcome", values: &["accepted", "refused", "unavailable", "unknown"] };

/// Why a message failed: the causes of `bridges/sms`, in its order.
const SMS_CAUSES: Label = Label {
    name: "cause",
    values: &[
        "number",
        "blocked",
        "region",
        "expired",
        "throttled",
        "credentials",
        "sender",
        "account",
        "unreachable",
        "tls",
        "unanswered",
        "server",
        "other",
    ],
};

/// Why a message was offered to the carrier again.
const SMS_REPEATS: Label = Label { name: "cause", values: &["unreachable", "stale", "throttled"] };

/// What the carrier tells of a message, in the order of its life.
const SMS_STATUSES: Label = Label {
    name: "status",
    values: &["accepted", "queued", "sending", "sent", "delivered", "undelivered", "failed", "other"],
};

/// Why a call of the carrier was refused.
const SMS_CALL_REFUSALS: Label =
    Label { name: "reason", values: &["signature", "malformed", "unknown_message", "replayed", "too_large"] };

/// What became of a refresh token.
const REFRESH_OUTCOMES: Label =
    Label { name: "outcome", values: &["turned", "repeated", "reused", "refused"] };

/// Why a connection ended: the reasons of `net/connection`, in its order.
const END_REASONS: Label = Label {
    name: "reason",
    values: &[
        "malformed",
        "proxy_malformed",
        "host_missing",
        "connection_not_upgrade",
        "key_invalid",
        "body_announced",
        "origin_foreign",
        "not_found",
        "method_not_allowed",
        "timeout",
        "head_too_large",
        "upgrade_required",
        "version_unsupported",
        "too_many_connections",
        "full",
        "draining",
        "reserved_bits",
        "reserved_opcode",
        "control_fragmented",
        "control_too_long",
        "unexpected_continuation",
        "message_unfinished",
        "unmasked",
        "masked",
        "length_malformed",
        "message_too_large",
        "invalid_utf8",
        "close_truncated",
        "close_code_invalid",
        "binary",
        "peer_closed",
        "peer_gone",
        "socket_failed",
        "ping_timeout",
        "message_stalled",
        "send_queue_full",
        "send_stalled",
        "handed_over",
        "engine",
    ],
};

macro_rules! catalogue {
    ($($variant:ident $kind:ident $name:literal $(by $label:ident)? : $help:literal;)*) => {
        /// One metric. Its number is its place in the catalogue.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// Every metric, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its full name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How it behaves.
            #[must_use]
            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            /// What it tells, one sentence.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }

            /// Its label, if it has one.
            #[must_use]
            pub fn label(self) -> Option<Label> {
                match self { $(Self::$variant => catalogue!(@label $($label)?),)* }
            }
        }
    };
    (@label) => { None };
    (@label $label:ident) => { Some($label) };
}

catalogue! {
    EngineCommands Counter "lynk_engine_commands_total": "Commands decoded.";
    EngineRejects Counter "lynk_engine_rejects_total" by ERROR_CODES: "Commands refused, by error code.";
    EngineSignIns Counter "lynk_engine_sign_ins_total": "Connections that signed in.";
    EngineCloses Counter "lynk_engine_closes_total" by CLOSE_CODES:
        "Connections that the engine had closed, by close code.";
    EngineMessages Counter "lynk_engine_messages_total": "Messages ordered.";
    EngineEvents Counter "lynk_engine_events_total": "Durable room events ordered, messages included.";
    EngineAckSeconds Histogram "lynk_engine_ack_duration_seconds":
        "Time from accepting a message until its acknowledgement is released; of rooms of level `replicated`, see the next.";
    EngineReplicatedSeconds Histogram "lynk_engine_replicated_duration_seconds":
        "Time for which answers in rooms of level `replicated` waited until the message store had the record.";
    EngineDeliveries Counter "lynk_engine_deliveries_total": "Frames handed to connections.";
    EngineFlushDeliveriesMax Gauge "lynk_engine_flush_deliveries_max":
        "Largest number of deliveries between two polls of input.";
    EngineShed Counter "lynk_engine_shed_total": "Best-effort events (typing, presence, receipts) dropped.";
    EngineResyncs Counter "lynk_engine_resyncs_total": "Resync events sent to slow consumers.";
    EngineRepeats Counter "lynk_engine_repeats_total": "Retries answered from the first attempt's result.";
    EngineRoomLoads Counter "lynk_engine_room_loads_total": "Rooms loaded from the stores.";
    EngineRoomEvictions Counter "lynk_engine_room_evictions_total": "Rooms dropped from memory.";
    EngineRetentions Counter "lynk_engine_retentions_total": "Times the oldest messages of a room were removed for their age.";
    EngineNotesLost Counter "lynk_engine_notes_lost_total": "Deletes by moderators that are not in the list of what moderators did: the store was away for too long.";
    EngineStoreFailures Counter "lynk_engine_store_failures_total": "Store replies that reported a failure.";
    ReactorConnections Gauge "lynk_reactor_connections": "Sockets now, closing ones included.";
    ReactorHalfOpen Gauge "lynk_reactor_half_open_connections": "Of these, with an incomplete request head.";
    ReactorAccepts Counter "lynk_reactor_accepts_total": "Sockets accepted.";
    ReactorAcceptsRefused Counter "lynk_reactor_accepts_refused_total" by ACCEPT_REFUSALS:
        "Of these, closed unanswered.";
    ReactorAcceptPauses Counter "lynk_reactor_accept_pauses_total":
        "Times a listener paused for lack of descriptors or memory.";
    ReactorAcceptFull Counter "lynk_reactor_accept_full_total":
        "Times listeners paused because a shard had all the connections it may have.";
    ReactorEnds Counter "lynk_reactor_ends_total" by END_REASONS: "Connections ended, by reason.";
    ReactorRequestsRefused Counter "lynk_reactor_requests_refused_total":
        "Plain HTTP requests answered 503 because the API bridge had no room for them.";
    ReactorAnswersDropped Counter "lynk_reactor_answers_dropped_total":
        "Answers to HTTP requests that nobody waited for any more and that did not fit.";
    ReactorQueued Gauge "lynk_reactor_queued_bytes":
        "Bytes queued for slow readers now; a frame that several wait for counts for each.";
    ReactorReceived Counter "lynk_reactor_received_bytes_total": "Bytes received from clients.";
    ReactorSent Counter "lynk_reactor_sent_bytes_total": "Bytes to clients that the kernel took.";
    ReactorSends Counter "lynk_reactor_sends_total" by SEND_PATHS: "Sends, by path.";
    ReactorSendsShort Counter "lynk_reactor_sends_short_total":
        "Sends that took less than everything: the connection went to the slow path.";
    ReactorMail Counter "lynk_reactor_mail_total": "Mail posted to other shards.";
    ReactorMailRefused Counter "lynk_reactor_mail_refused_total": "Mail that a full mailbox gave back.";
    ReactorMailWaitingMax Gauge "lynk_reactor_mail_waiting_max":
        "Answers that waited for a full mailbox, at most at one time.";
    ReactorWakes Counter "lynk_reactor_wakes_total": "Sleeping shards woken by others.";
    ReactorWakesFailed Counter "lynk_reactor_wakes_failed_total": "Wakes that did not arrive.";
    ReactorStoreRefused Counter "lynk_reactor_store_refused_total":
        "Requests that did not fit the store's mailbox.";
    ReactorStoreInFlight Gauge "lynk_reactor_store_requests_in_flight":
        "Requests to the store that are not answered.";
    ReactorRingPressure Counter "lynk_reactor_ring_pressure_total": "Times a queue of a ring was full.";
    ReactorTurns Counter "lynk_reactor_turns_total": "Turns of the loops.";
    ReactorTurnSeconds Histogram "lynk_reactor_turn_duration_seconds":
        "Time of a turn, without the wait at its end.";
    ReactorTurnMax Gauge "lynk_reactor_turn_nanoseconds_max": "Longest turn since the start.";
    ReactorStalls Counter "lynk_reactor_stalls_total": "Turns that held everybody up.";
    ReactorClockJumps Counter "lynk_reactor_clock_jumps_total": "Times the wall clock was set by more than 5 s.";
    JournalRecords Counter "lynk_journal_records_total": "Records committed.";
    JournalBatches Counter "lynk_journal_batches_total": "Batches in which they were committed, each one durable write.";
    JournalBytes Counter "lynk_journal_bytes_total": "Bytes committed, padding to whole blocks included.";
    JournalSegments Counter "lynk_journal_segments_total": "Segments taken into use.";
    JournalFullWrites Counter "lynk_journal_full_writes_total": "Writes refused for lack of space.";
    JournalSyncSeconds Histogram "lynk_journal_sync_duration_seconds":
        "Time from handing a batch to the disk until it was synced.";
    JournalDisk Gauge "lynk_journal_disk_bytes": "Disk space of all segments.";
    JournalDiskMax Gauge "lynk_journal_disk_bytes_max": "Disk budget of all segments.";
    StoreRequests Counter "lynk_store_requests_total": "Requests of shards answered by the store bridge.";
    StoreFailures Counter "lynk_store_failures_total" by STORE_ERRORS: "Those answered with a failure.";
    StoreRequestSeconds Histogram "lynk_store_request_duration_seconds":
        "Time from taking a request to its answer.";
    StoreRequestsWaiting Gauge "lynk_store_requests_waiting": "Requests waiting for the store bridge.";
    StoreRequestsInFlight Gauge "lynk_store_requests_in_flight": "Requests taken by the store bridge and not answered.";
    StoreRequestsRefused Counter "lynk_store_requests_refused_total":
        "Requests refused at once because the outside store that they need is away.";
    StoreCircuitOpen Gauge "lynk_store_circuit_open" by STORE_CIRCUITS:
        "1 while requests to this outside store are refused at once.";
    StoreDegraded Gauge "lynk_store_degraded" by STORE_PARTS: "1 while the part fails.";
    StoreDrainRecords Counter "lynk_store_drain_records_total":
        "Records moved from journals to the message log.";
    StoreDrainBatches Counter "lynk_store_drain_batches_total": "Batches in which they were moved.";
    StoreDrainSeconds Histogram "lynk_store_drain_batch_duration_seconds": "Time to move and sync one batch.";
    StoreDrainBacklog Gauge "lynk_store_drain_backlog_records": "Records committed and not moved yet.";
    StoreLogDisk Gauge "lynk_store_log_disk_bytes": "Disk space of the message log.";
    StoreLogRemoved Counter "lynk_store_log_removed_rows_total": "Rows of removed messages that left the embedded message log.";
    StoreSweeps Counter "lynk_store_sweeps_total": "Times removed messages were swept out of the message log.";
    StoreLogMemory Gauge "lynk_store_log_memory_bytes": "Memory of the message log: memtables and cache.";
    KafkaPublished Counter "lynk_kafka_published_total" by TOPICS:
        "Events that all in-sync replicas have, repetitions included.";
    KafkaFailures Counter "lynk_kafka_failures_total" by KAFKA_ERRORS: "Batches of events that failed, each tried again.";
    KafkaBacklog Gauge "lynk_kafka_backlog_records" by STREAMS:
        "Records committed that a stream of events has not passed.";
    KafkaPublishSeconds Histogram "lynk_kafka_publish_duration_seconds":
        "Time of a batch of events, from reading it until all in-sync replicas have it.";
    KafkaDegraded Gauge "lynk_kafka_degraded": "1 while events cannot be published.";
    ApiConnections Gauge "lynk_api_connections": "Connections of the API bridge now.";
    ApiConnectionsRefused Counter "lynk_api_connections_refused_total" by API_REFUSALS:
        "Connections handed over and answered 503 or 429 at once.";
    ApiRequests Counter "lynk_api_requests_total" by STATUS_CLASSES: "HTTP requests answered, by status.";
    ApiRequestSeconds Histogram "lynk_api_request_duration_seconds":
        "Time from the end of a request's head until its answer began.";
    ApiCommands Counter "lynk_api_commands_total": "Commands given to shards.";
    ApiCommandsInFlight Gauge "lynk_api_commands_in_flight": "Of these, without an answer now.";
    ApiCommandsLate Counter "lynk_api_commands_late_total":
        "Commands whose answer did not come in time; their requests were told that the outcome is unknown.";
    ApiTickets Counter "lynk_api_tickets_total" by GOOD_OR_BAD: "Socket tickets shown, by what they were good for.";
    ApiRevocations Counter "lynk_api_revocations_total": "Sessions ended before their tokens did.";
    AccountsCodes Counter "lynk_accounts_codes_total" by CODE_OUTCOMES:
        "Requests for a code, by what became of them; withheld: the number had its messages of the day; refused: by a limit, or without a store; unknown: the carrier did not say whether it took the message.";
    AccountsSpent Counter "lynk_accounts_codes_cost_total":
        "Money for codes by the prices of the configuration, in its currency.";
    AccountsOverBudget Counter "lynk_accounts_codes_over_budget_total":
        "Codes refused because the money of the day was spent.";
    AccountsCodesCancelled Counter "lynk_accounts_codes_cancelled_total":
        "Codes that ended because the carrier told that their message does not arrive.";
    AccountsProofs Counter "lynk_accounts_proofs_total" by GOOD_OR_BAD: "Codes that somebody entered.";
    AccountsFactors Counter "lynk_accounts_second_factors_total" by FACTOR_OUTCOMES:
        "Second factors that somebody showed; locked: not compared, after too many wrong ones; unreadable: the key that sealed it is not there.";
    AccountsEnrolling Counter "lynk_accounts_enrolments_demanded_total":
        "Sign-ins, refreshes and step-ups whose session can only turn on a second factor, because `factors.required` is on and its account has none.";
    AccountsErasures Gauge "lynk_accounts_erasures_waiting": "Erased accounts whose messages are not all taken back.";
    AccountsErased Counter "lynk_accounts_erased_messages_total": "Messages of erased accounts that were taken back.";
    AccountsRegistered Counter "lynk_accounts_registered_total": "Accounts made.";
    AccountsRefreshes Counter "lynk_accounts_refreshes_total" by REFRESH_OUTCOMES:
        "Refresh tokens presented; reused: after its grace, so that its session is over.";
    AccountsWaiting Gauge "lynk_accounts_operations_waiting": "Operations that wait for the accounts' thread.";
    AccountsSeconds Histogram "lynk_accounts_operation_duration_seconds":
        "Time of an operation on the accounts' thread.";
    AccountsStoreFailures Counter "lynk_accounts_store_failures_total": "Failures of the store of accounts.";
    AccountsStoreDegraded Gauge "lynk_accounts_store_degraded": "1 while the store of accounts fails.";
    ComputeJobs Counter "lynk_compute_jobs_total" by COMPUTE_OUTCOMES:
        "Pieces of work for the processor (QR codes); busy: too much waited.";
    ComputeWaiting Gauge "lynk_compute_jobs_waiting": "Pieces of work that wait for a thread.";
    ComputeSeconds Histogram "lynk_compute_job_duration_seconds": "Time of a piece of work on its thread.";
    ImagesPrepared Counter "lynk_images_prepared_total" by IMAGE_OUTCOMES:
        "Uploads whose type was looked up and whose pictures were decoded; too_large: more pixels or memory than allowed; timed_out: its process was killed; busy: too many waited; failed: the disk, or no process.";
    MediaUploads Counter "lynk_media_uploads_total" by UPLOAD_OUTCOMES:
        "Uploads of files; refused: before a link was made, by type, size or quota; cut_off: too slow, too short, or the disk.";
    MediaLooked Counter "lynk_media_looked_at_total" by LOOK_OUTCOMES:
        "Uploads that were looked at: ready, or why they were refused; again: it could not be done and is tried again.";
    MediaBytes Counter "lynk_media_bytes_total" by DIRECTIONS: "Bytes of files that came and went over HTTP.";
    MediaOpen Gauge "lynk_media_transfers_open" by DIRECTIONS: "Files that are being received and sent.";
    MediaTransfersRefused Counter "lynk_media_transfers_refused_total" by TRANSFER_REFUSALS:
        "Transfers of files that got no place: uploads and downloads, of everybody or of one account; or that were ended for being too slow, or idle (a download).";
    MediaRefusedLinks Counter "lynk_media_links_refused_total": "Links to files that were changed, had ended, or whose holder may not use them any more.";
    MediaRedirects Counter "lynk_media_redirects_total": "Reads of files that were sent on to the bucket (`s3.presigned_reads`); its bytes are not among those that went over HTTP.";
    MediaSwept Counter "lynk_media_swept_total" by SWEPT: "Files that nobody needs any more, by what was done: doomed, bytes removed, row forgotten; lost: bytes removed of which there was no row; carried: not that, but moved from the directory into the bucket.";
    MediaDeferred Counter "lynk_media_ends_deferred_total": "Steps towards the end of files of removed messages and deleted rooms that the store of media did not take; they are tried again.";
    MediaStaged Gauge "lynk_media_staged_bytes": "Bytes of files that wait in the directory until the bucket has them.";
    MediaStuck Gauge "lynk_media_stuck_files": "Files, and directories of them, that the disk did not give in the last round on their way into the bucket. They stay where they are, and others pass them.";
    MediaDegraded Gauge "lynk_media_degraded": "1 while the store of media, the disk of files or what looks at them fails.";
    S3Calls Counter "lynk_s3_requests_total" by S3_OUTCOMES:
        "Requests to the bucket of files, by what became of them; missing: there was no such object; away: no answer, or none that is one; shed: not sent, because those before it failed.";
    S3Bytes Counter "lynk_s3_bytes_total" by DIRECTIONS: "Bytes of objects that were read from the bucket, and sent to it.";
    S3Seconds Histogram "lynk_s3_request_duration_seconds": "Time until the head of an answer of the bucket.";
    S3Degraded Gauge "lynk_s3_degraded": "1 while the bucket of files is away, or refuses requests.";
    RedisCalls Counter "lynk_redis_calls_total" by REDIS_OUTCOMES:
        "Calls to Redis, by what became of them; away: not sent because Redis was; unknown: sent, and no answer came; shed: no room.";
    RedisSeconds Histogram "lynk_redis_call_duration_seconds": "Time of a call that was answered.";
    RedisConnects Counter "lynk_redis_connects_total" by GOOD_OR_BAD: "Attempts to connect to Redis.";
    RedisInFlight Gauge "lynk_redis_calls_in_flight": "Calls sent and not answered.";
    RedisDegraded Gauge "lynk_redis_degraded": "1 while Redis is away, or refuses calls.";
    PresenceMirrored Counter "lynk_presence_mirrored_total" by PRESENCE_OUTCOMES:
        "Changes of who is online, and leases held, for the mirror that other processes read; dropped: no room, the first thing that is left out.";
    PresenceMissed Counter "lynk_presence_missed_total":
        "Users online whose lease a round did not get to, because there are more than can be told; at most.";
    NamesAsked Counter "lynk_names_asked_total" by NAME_ANSWERS:
        "Questions whether a name can be had; free: the filter knew, and a read of the store was spared; maybe: the store was asked; unsure: the filter is not filled, or away, and the store was asked.";
    NamesReady Gauge "lynk_names_filter_ready": "1 while the filter has all names.";
    NamesFull Gauge "lynk_names_filter_full": "1 when there are more names than the filter tells apart: it spares nothing any more.";
    SmsSends Counter "lynk_sms_sends_total" by SMS_OUTCOMES:
        "Messages given to the carrier; unavailable: certainly not taken; unknown: perhaps taken, and not sent again.";
    SmsFailures Counter "lynk_sms_failures_total" by SMS_CAUSES:
        "Messages that failed, at once or by what the carrier told later.";
    SmsRepeats Counter "lynk_sms_repeats_total" by SMS_REPEATS:
        "Times a message that was certainly not taken was offered again.";
    SmsConnections Counter "lynk_sms_connections_total": "Connections opened to the carrier.";
    SmsSeconds Histogram "lynk_sms_send_duration_seconds": "Time until the carrier's answer, repeats included.";
    SmsDegraded Gauge "lynk_sms_degraded": "1 while the carrier takes no messages.";
    SmsStatuses Counter "lynk_sms_statuses_total" by SMS_STATUSES: "What the carrier told of messages.";
    SmsCallsRefused Counter "lynk_sms_calls_refused_total" by SMS_CALL_REFUSALS:
        "Calls of the carrier, or of somebody who pretends to be it, that were refused.";
    SmsTracked Gauge "lynk_sms_messages_tracked": "Messages of which the carrier may still tell something.";
    PushDecisions Counter "lynk_push_decisions_total" by PUSH_REASONS:
        "Messages decided about for people with a device, by why each is pushed or not.";
    PushEnds Counter "lynk_push_ends_total" by PUSH_STATES:
        "Pushes by how they ended; unknown: their process died while it sent them, and they are not sent again; claimed and waiting are never counted.";
    PushFailures Counter "lynk_push_failures_total" by PUSH_CAUSES:
        "Attempts that failed, and times that nothing could be sent, by cause.";
    PushTokensRemoved Counter "lynk_push_tokens_removed_total":
        "Devices removed because the provider does not know their token any more.";
    PushStoreFailures Counter "lynk_push_store_failures_total": "Failures of the stores of notifications.";
    PushInFlight Gauge "lynk_push_in_flight": "Pushes on their way now.";
    PushLag Gauge "lynk_push_lag_seconds": "How long the oldest push that is due has waited.";
    PushBacklog Gauge "lynk_push_backlog_records": "Records of journals that notifications have not passed.";
    PushSeconds Histogram "lynk_push_send_duration_seconds": "Time until the provider's answer to a push.";
    PushDegraded Gauge "lynk_push_degraded": "1 while notifications cannot be sent, or their stores do not work.";
    ProcessCpu Counter "lynk_process_cpu_seconds_total": "Processor time used by all threads.";
    ProcessResident Gauge "lynk_process_resident_memory_bytes": "Resident memory of the process.";
    ProcessOpenFiles Gauge "lynk_process_open_fds": "Open file descriptors.";
    ProcessFilesMax Gauge "lynk_process_max_fds": "Open file descriptors allowed.";
    ProcessStart Gauge "lynk_process_start_time_seconds": "When the process started, Unix time.";
    ProcessShards Gauge "lynk_process_shards": "Shard threads.";
    ProcessReady Gauge "lynk_process_ready": "1 while the server takes new connections.";
    ProcessAdminDrops Counter "lynk_process_admin_drops_total":
        "Connections of the admin listener that were closed because too many newer ones came.";
}

impl Metric {
    /// The part of the server that the metric is about: the second word of its name.
    #[must_use]
    pub fn part(self) -> &'static str {
        self.name().split('_').nth(1).unwrap_or_default()
    }
}

/// The text of `docs/metrics.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         Served by the admin listener under `/metrics` in the OpenMetrics text format. Generated from the catalogue in \
         `core/telemetry`; a test keeps the two equal.\n\n\
         Counters start at zero with the process. Histograms have two buckets per power of two from 1.024 µs to 25.8 s. \
         Numbers of shards are added up (`_max`: the largest). Label values are fixed lists; no user, room or address \
         ever becomes one.\n",
    );
    let mut part = "";
    for metric in Metric::ALL {
        if metric.part() != part {
            part = metric.part();
            let _ = write!(out, "\n## {part}\n\n| Metric | Kind | Tells |\n| --- | --- | --- |\n");
        }
        let kind = match metric.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = write!(out, "| `{}` | {kind} | {}", metric.name(), metric.help());
        if let Some(label) = metric.label() {
            let _ = write!(out, " Label `{}`: `{}`.", label.name, label.values.join("`, `"));
        }
        out.push_str(" |\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let mut names: Vec<_> = Metric::ALL.iter().map(|m| m.name()).collect();
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(name.starts_with("lynk_") && name.split('_').count() >= 3, "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
            assert!(metric.kind() != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            assert!(metric.help().ends_with('.'), "{name}");
            for value in metric.label().map_or(&[][..], |label| label.values) {
                // Topics have dots in their names.
                assert!(
                    value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b)),
                    "{name} {value}"
                );
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
