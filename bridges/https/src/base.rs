//! Where a server is: the beginning of an URL.
//!
//! Pure. What can fail: the text. Plain HTTP is for this machine only, because secrets travel in it.

use std::net::IpAddr;

use hyper::Uri;

/// A beginning of URLs: scheme, host, perhaps port and path, no slash at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// Whether it is reached over TLS.
    pub is_tls: bool,
    /// As certificates name it: without port and brackets.
    pub host: String,
    /// As URLs have it: with brackets.
    bracketed: String,
    /// As written.
    port: Option<u16>,
    path: String,
}

impl Base {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, to follow its name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no URL")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("must begin with https:// and a host");
        };
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            return Err("must hold neither a user, nor a query, nor a fragment");
        }
        let bracketed = authority.host().to_ascii_lowercase();
        let host = bracketed.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let is_tls = match scheme {
            "https" => true,
            "http" if is_local => false,
            _ => return Err("must begin with https://; plain http is for this machine only"),
        };
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { is_tls, host, bracketed, port: authority.port_u16(), path })
    }

    /// Whether nothing follows the host.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.path.is_empty()
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// Host and port as a request names them.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.bracketed),
            None => self.bracketed.clone(),
        }
    }

    /// A path below it, as a request names it.
    #[must_use]
    pub fn below(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.written(&self.authority(), path)
    }

    /// The URL of a path in both spellings of its port: with it, and without. The carrier signs one of them, not always that
    /// which it was given.
    #[must_use]
    pub fn spellings(&self, path: &str) -> [String; 2] {
        let with = format!("{}:{}", self.bracketed, self.port());
        [self.written(&with, path), self.written(&self.bracketed, path)]
    }

    fn written(&self, authority: &str, path: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{authority}{}{path}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_urls_hold_no_secret() {
        for good in [
            "https://api.twilio.com",
            "https://chat.example/",
            "https://chat.example:8443/lynk/",
            "http://127.0.0.1:4010",
            "http://[::1]:4010",
            "http://localhost",
        ] {
            assert!(Base::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "chat.example",
            "http://chat.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "https://user:secret@chat.example",
            "https://chat.example/?a=b",
            "https://chat.example/#a",
            "/path",
        ] {
            assert!(Base::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_are_written_as_they_were_given_and_signed_in_either_spelling() {
        let base = Base::parse("https://Chat.example/lynk/").expect("good");
        assert_eq!(base.url("/v1/x?y=z"), "https://chat.example/lynk/v1/x?y=z");
        assert_eq!((base.port(), base.authority().as_str(), base.is_root()), (443, "chat.example", false));
        assert_eq!(
            base.spellings("/v1/x"),
            ["https://chat.example:443/lynk/v1/x", "https://chat.example/lynk/v1/x"]
        );
        let base = Base::parse("http://[::1]:4010").expect("good");
        assert_eq!((base.host.as_str(), base.url("/a")), ("::1", "http://[::1]:4010/a".to_owned()));
    }
}
