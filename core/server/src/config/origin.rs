//! Origins as browsers write them. One that no browser sends would never match, and nothing would say so.

/// What is wrong with an origin, to follow it in a sentence; `None` when a browser may send it.
pub(super) fn problem(origin: &str) -> Option<String> {
    if origin == "*" {
        return Some("would let every page in; list the origins of your own pages".to_owned());
    }
    // Of sandboxed pages and local files.
    if origin == "null" {
        return None;
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return Some(format!("needs a scheme: perhaps \"https://{origin}\""));
    };
    let scheme_good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !scheme_good {
        return Some("has no scheme such as https".to_owned());
    }
    if let Some((bare, _)) = authority.split_once(['/', '?', '#']) {
        return Some(format!("must end after the host or port: use \"{scheme}://{bare}\""));
    }
    if !authority.bytes().all(|b| b.is_ascii_graphic()) || authority.contains('@') {
        return Some("must hold the host in ASCII (xn--…), as browsers send it, and nothing else".to_owned());
    }
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains('*') || (host.contains(':') && !bracketed) {
        return Some("names no host; there are no wildcards".to_owned());
    }
    let default = match scheme.to_ascii_lowercase().as_str() {
        "https" => Some("443"),
        "http" => Some("80"),
        _ => None,
    };
    match port {
        Some(port) if Some(port) == default => {
            Some(format!("never matches, browsers leave the usual port out: use \"{scheme}://{host}\""))
        }
        Some(port) if port.starts_with('0') || port.parse::<u16>().is_err() => {
            Some("has a port that is no number from 1 to 65535".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn what_browsers_send_is_taken() {
        for origin in [
            "https://chat.example",
            "HTTPS://Chat.Example:8443",
            "http://localhost:3000",
            "http://[::1]:3000",
            "http://[::1]",
            "app://.",
            "chrome-extension://abcdef",
            "null",
        ] {
            assert_eq!(problem(origin), None, "{origin}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_advice() {
        for (origin, advice) in [
            ("https://chat.example/", "use \"https://chat.example\""),
            ("https://chat.example/app?x", "use \"https://chat.example\""),
            ("chat.example", "perhaps \"https://chat.example\""),
            ("https://chat.example:443", "use \"https://chat.example\""),
            ("http://chat.example:80", "use \"http://chat.example\""),
            ("https://chat.example:x", "no number"),
            ("https://chat.example:0", "no number"),
            ("https://", "names no host"),
            ("https://*.example", "no wildcards"),
            ("https://bücher.example", "in ASCII"),
            ("https://user@chat.example", "nothing else"),
            ("://chat.example", "no scheme"),
            ("*", "every page"),
        ] {
            let found = problem(origin).unwrap_or_default();
            assert!(found.contains(advice), "{origin}: {found}");
        }
    }
}
