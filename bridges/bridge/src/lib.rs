//! The thread shell of every bridge: mailboxes, in-flight budget, health.
