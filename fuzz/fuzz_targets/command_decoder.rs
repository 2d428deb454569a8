//! No text makes the command decoder panic; what it refuses has a code with a name.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let decoded = lynk_protocol::decode(text);
    assert!(decoded.re <= lynk_protocol::MAX_SAFE_INTEGER);
    if let Err(reject) = decoded.command {
        assert!(!reject.code.name().is_empty() && !reject.message().is_empty());
    }
});
