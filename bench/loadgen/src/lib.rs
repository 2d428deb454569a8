//! The load tool: open loop, from the intended send time.
