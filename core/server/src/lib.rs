//! The lynk binary: configuration, boot, command line, admin listener, drain.
