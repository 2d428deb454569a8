//! Where a provider's API is: the beginning of an URL.
//!
//! Pure. What can fail: the text. Plain HTTP is for this machine only, because tokens travel in it.

use std::net::IpAddr;

use hyper::Uri;

/// A beginning of URLs: scheme, host, perhaps port and path, no slash at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Base {
    pub(crate) is_tls: bool,
    /// As certificates name it: without port and brackets.
    pub(crate) host: String,
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
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
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

    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// Host and port as a request names them.
    pub(crate) fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.bracketed),
            None => self.bracketed.clone(),
        }
    }

    /// A path below it.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_urls_hold_no_secret() {
        for good in [
            "https://fcm.googleapis.com",
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
}
