//! One connection: handshake, decoder, send queue and slow path, sans-I/O.
