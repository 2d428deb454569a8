//! A head is accepted or refused alike however it arrives, and an accepted one states its own length; so is a PROXY header.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lynk_http::{
    Head, PROXY_BYTES_MAX, Policy, ProxyHeader, TrustedProxies, decode_head, decode_proxy_header,
    decode_upgrade_response, forwarded_client,
};

fuzz_target!(|data: &[u8]| {
    let listed = Policy { origins: vec!["https://chat.example".to_owned()], ..Policy::default() };
    for policy in [Policy::default(), listed] {
        let whole = decode_head(data, &policy);
        // Arrives byte by byte: the first answer is the final one.
        let mut first = Ok(None);
        for length in 0..=data.len() {
            first = decode_head(&data[..length], &policy);
            if first != Ok(None) {
                break;
            }
        }
        assert_eq!(first, whole);
        if let Ok(Some((head, length))) = whole {
            assert!(length <= data.len() && data[..length].ends_with(b"\n"));
            match head {
                Head::Upgrade(upgrade) => assert_eq!(upgrade.key.len(), 24),
                Head::Other(request) => {
                    let mut response = Vec::new();
                    request.refusal(&policy).encode_response(&mut response, 1);
                    assert!(response.starts_with(b"HTTP/1.1 4"));
                }
            }
        }
    }
    let whole = decode_proxy_header(data);
    let cut = (0..=data.len()).map(|length| decode_proxy_header(&data[..length])).find(|r| *r != Ok(None));
    assert_eq!(cut.unwrap_or(Ok(None)), whole);
    if let Ok(Some(ProxyHeader::Present { bytes, .. })) = whole {
        assert!(bytes <= data.len().min(PROXY_BYTES_MAX));
    }
    let _ = forwarded_client(data, &TrustedProxies::default());
    let _ = decode_upgrade_response(data, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});
