//! HTTP/1.1 request heads and the WebSocket upgrade, sans-I/O.
