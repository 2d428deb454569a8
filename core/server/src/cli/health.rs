//! `lynk health`

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::ConfigArgs;
use crate::exit::{Exit, Failure};
use crate::out::put;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// `lynk health`
#[derive(Args, Clone, Debug)]
pub(crate) struct HealthArgs {
    /// What to ask for.
    #[arg(value_name = "WHAT", default_value = "ready")]
    what: What,
    #[command(flatten)]
    config: ConfigArgs,
}

/// A page of the admin listener.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum What {
    /// Does it run?
    Live,
    /// May it be sent clients?
    Ready,
    /// Has it started?
    Startup,
}

impl HealthArgs {
    /// Asks, and fails unless the answer is yes.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        if !config.admin_enabled {
            return Err(Failure::new(Exit::Config, "admin.enabled is false, so nobody answers".to_owned())
                .cure("set admin.enabled to true; on loopback only this machine can ask"));
        }
        let address = reachable(config.admin_listen);
        let path = match self.what {
            What::Live => "/livez",
            What::Ready => "/readyz",
            What::Startup => "/startupz",
        };
        let (status, body) = ask(address, path).map_err(|error| {
            Failure::dependency(format!("no server answers at {address}: {error}"))
                .cure("start it, or say with --config or --set admin.address=… where its admin listener is")
        })?;
        if status == 200 {
            return put(&format!("{}\n", body.trim_end()));
        }
        Err(Failure::new(Exit::Failure, format!("{path} says {status}: {}", body.trim_end())))
    }
}

/// Where a listener on all addresses is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    socket.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("what answers is no HTTP server"))?;
    Ok((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}
