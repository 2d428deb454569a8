//! Listeners: one per shard on the same address, among which the kernel spreads connections.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::config::SocketOptions;

/// Makes `count` listeners on `address`. With port 0 all of them get the same free port.
///
/// # Errors
/// The address cannot be used, or an option is refused.
pub fn bind(address: SocketAddr, count: u16, options: &SocketOptions) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(usize::from(count));
    let mut address = address;
    for _ in 0..count {
        let listener = bind_one(address, options)?;
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    // Connections inherit these from their listener, which saves three calls for each.
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_tcp_user_timeout(&socket, options.user_timeout_millis)?;
    if let Some(bytes) = options.send_buffer_bytes {
        sockopt::set_socket_send_buffer_size(&socket, bytes as usize)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(TcpListener::from(socket))
}

/// The address that a set of listeners got.
///
/// # Errors
/// There is none, or the operating system does not tell.
pub fn local_address(listeners: &[TcpListener]) -> io::Result<SocketAddr> {
    listeners.first().ok_or(io::ErrorKind::NotFound)?.local_addr()
}

/// The address that a connection comes from; `None` when it is gone already.
pub(crate) fn peer_address(socket: &OwnedFd) -> Option<IpAddr> {
    let address = rustix::net::getpeername(socket.as_fd()).ok().flatten()?;
    SocketAddr::try_from(address).ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_listen_on_one_port_and_connections_inherit_the_options() {
        let address = "127.0.0.1:0".parse().expect("address");
        let listeners = bind(address, 3, &SocketOptions::default()).expect("loopback works");
        let local = local_address(&listeners).expect("bound");
        assert!(listeners.iter().all(|one| one.local_addr().is_ok_and(|at| at == local)));
        let _client = std::net::TcpStream::connect(local).expect("it listens");
        let accepted = loop {
            if let Some((socket, _)) = listeners.iter().find_map(|one| one.accept().ok()) {
                break socket;
            }
            std::thread::yield_now();
        };
        assert!(sockopt::tcp_nodelay(&accepted).expect("readable"));
        assert_eq!(sockopt::tcp_user_timeout(&accepted).expect("readable"), 30_000);
        assert_eq!(sockopt::socket_send_buffer_size(&accepted).expect("readable"), 128 << 10);
        assert_eq!(peer_address(&accepted.into()), Some(local.ip()));
    }
}
