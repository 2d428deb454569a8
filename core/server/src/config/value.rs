//! Types of values that are one of a few words.

use lynk_domain::AckLevel;

/// A value that is one of a few words.
pub(crate) trait Choice {
    /// The words, in the order to show them.
    fn words(&self) -> &'static [&'static str];
    /// The word it is.
    fn word(&self) -> &'static str;
    /// Becomes `word`; `false` when it is none of the words.
    fn choose(&mut self, word: &str) -> bool;
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),* }

        impl Choice for $name {
            fn words(&self) -> &'static [&'static str] {
                &[$($word),*]
            }
            fn word(&self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
            fn choose(&mut self, word: &str) -> bool {
                *self = match word { $($word => Self::$variant,)* _ => return false };
                true
            }
        }
    };
}

choice! {
    /// Which driver shards use.
    Backend {
        /// io_uring, or epoll where it is refused.
        Auto = "auto",
        /// io_uring, or no start.
        IoUring = "io_uring",
        /// epoll.
        Epoll = "epoll",
    }
}

choice! {
    /// Where rooms, members, bans and accounts are kept.
    RelationalIn {
        /// SQLite in the data directory.
        Embedded = "embedded",
        /// PostgreSQL.
        Postgres = "postgres",
    }
}

choice! {
    /// Where codes, registrations and tickets wait.
    EphemeralIn {
        /// In the memory of the process.
        Local = "local",
        /// Redis.
        Redis = "redis",
    }
}

choice! {
    /// Where the message log is kept.
    MessagesIn {
        /// fjall in the data directory.
        Embedded = "embedded",
        /// Cassandra or ScyllaDB.
        Cassandra = "cassandra",
    }
}

choice! {
    /// Where events for other systems go.
    EventsTo {
        /// Nowhere.
        None = "none",
        /// Kafka.
        Kafka = "kafka",
    }
}

choice! {
    /// Whether events are in an envelope of CloudEvents 1.0.
    EventEnvelope {
        /// They are not.
        None = "none",
        /// Its attributes are headers.
        Binary = "binary",
        /// The event is its data.
        Structured = "structured",
    }
}

choice! {
    /// Whether shard threads stay on one core each.
    Pin {
        /// With four usable cores or more.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}

choice! {
    /// Who sends one-time codes.
    SmsProvider {
        /// Nobody: codes are shown on this machine.
        Console = "console",
        /// Twilio.
        Twilio = "twilio",
        /// Nobody at all: no codes, no sign-in.
        None = "none",
    }
}

choice! {
    /// Where the console provider shows codes.
    SmsConsole {
        /// On standard error if that is a terminal, else in the file.
        Auto = "auto",
        /// On standard error.
        Terminal = "terminal",
        /// In `dev-sms.txt` of the data directory.
        File = "file",
    }
}

choice! {
    /// Where pictures and files are kept.
    MediaIn {
        /// On the disk.
        Directory = "directory",
        /// In a bucket that speaks S3.
        S3 = "s3",
    }
}

choice! {
    /// Who brings notifications to devices.
    PushProvider {
        /// Nobody: ids are written to a file.
        Console = "console",
        /// Firebase Cloud Messaging.
        Fcm = "fcm",
        /// Nobody at all.
        None = "none",
    }
}

choice! {
    /// Which process decides about notifications and sends them.
    PushRun {
        /// The server.
        Server = "server",
        /// `lynk notify`.
        Separate = "separate",
    }
}

choice! {
    /// Least severe log line.
    LogLevel {
        /// Something failed.
        Error = "error",
        /// An operator can act.
        Warn = "warn",
        /// Life cycle.
        Info = "info",
        /// Every connection.
        Debug = "debug",
    }
}

choice! {
    /// Form of log lines.
    LogFormat {
        /// One JSON object per line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

impl Choice for AckLevel {
    fn words(&self) -> &'static [&'static str] {
        &["memory", "local", "replicated"]
    }
    fn word(&self) -> &'static str {
        self.name()
    }
    fn choose(&mut self, word: &str) -> bool {
        match Self::parse(word) {
            Some(level) => {
                *self = level;
                true
            }
            None => false,
        }
    }
}
