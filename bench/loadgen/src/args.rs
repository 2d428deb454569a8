//! The options of each benchmark.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

/// Which server, and how its cost is read.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Address of the server; loopback only.
    #[arg(long, default_value = "127.0.0.1:7777")]
    pub addr: SocketAddr,
    /// Process id of the server, to read its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Address of the server's admin listener, to read how many sends it asked of the kernel; loopback only.
    #[arg(long, default_value = "127.0.0.1:7778")]
    pub admin: SocketAddr,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `lynk bench conn`
#[derive(Args, Clone, Debug)]
pub struct ConnArgs {
    /// The server.
    #[command(flatten)]
    pub target: Target,
    /// Signed-in, idle connections, each subscribed to one room.
    #[arg(long, default_value_t = 1_000)]
    pub connections: u32,
    /// Rooms they are spread over.
    #[arg(long, default_value_t = 10)]
    pub rooms: u32,
    /// Seconds to hold them before the server's memory is read.
    #[arg(long, default_value_t = 2)]
    pub hold: u64,
    /// Source addresses 127.0.0.2 … to connect from.
    #[arg(long, default_value_t = 4)]
    pub sources: u8,
}

/// `lynk bench send`
#[derive(Args, Clone, Debug)]
pub struct SendArgs {
    /// The server.
    #[command(flatten)]
    pub target: Target,
    /// Messages per second, all senders together.
    #[arg(long, default_value_t = 100)]
    pub rate: u32,
    /// Senders, each alone in a room.
    #[arg(long, default_value_t = 1)]
    pub senders: u32,
    /// Seconds of load.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Bytes of message text.
    #[arg(long, default_value_t = 128)]
    pub payload: u32,
}

/// `lynk bench fanout`
#[derive(Args, Clone, Debug)]
pub struct FanoutArgs {
    /// The server.
    #[command(flatten)]
    pub target: Target,
    /// Rooms.
    #[arg(long, default_value_t = 10)]
    pub rooms: u32,
    /// Members of each room, all connected.
    #[arg(long, default_value_t = 100)]
    pub members: u32,
    /// Messages per second, all rooms together.
    #[arg(long, default_value_t = 100)]
    pub rate: u32,
    /// Members of each room that send, in turn.
    #[arg(long, default_value_t = 5)]
    pub publishers: u32,
    /// Seconds of load (of each half of a pair).
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Bytes of message text.
    #[arg(long, default_value_t = 128)]
    pub payload: u32,
    /// Pairs of (server, floor), interleaved, every second one in the other order; 0 measures the server alone, once.
    /// Needs --pid.
    #[arg(long, default_value_t = 0)]
    pub pairs: u32,
    /// Source addresses 127.0.0.2 … to connect from.
    #[arg(long, default_value_t = 4)]
    pub sources: u8,
    /// CPU that the floor's sender is pinned to; name the server's.
    #[arg(long)]
    pub floor_cpu: Option<u32>,
}

/// `lynk bench floor`
#[derive(Args, Clone, Debug)]
pub struct FloorArgs {
    /// Rooms.
    #[arg(long, default_value_t = 10)]
    pub rooms: u32,
    /// Sockets of each room.
    #[arg(long, default_value_t = 100)]
    pub members: u32,
    /// Bursts per second, all rooms together; a burst is one send to each socket of a room.
    #[arg(long, default_value_t = 100)]
    pub rate: u32,
    /// Seconds of load.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Bytes of each send.
    #[arg(long, default_value_t = 380)]
    pub bytes: u32,
    /// CPU to pin the sender to.
    #[arg(long)]
    pub cpu: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The benchmarks.
#[derive(Subcommand, Clone, Debug)]
pub enum BenchCommand {
    /// Memory per idle, signed-in connection.
    #[command(
        after_help = "Examples:\n  lynk bench conn --connections 10000 --pid 4711\n  lynk bench conn --connections 18000 --rooms 180 --sources 8 --pid 4711 --json"
    )]
    Conn(ConnArgs),
    /// Latency from the intended send to the durable acknowledgement.
    #[command(
        after_help = "Examples:\n  lynk bench send --rate 100 --seconds 10\n  lynk bench send --senders 50 --rate 5000 --pid 4711 --json"
    )]
    Send(SendArgs),
    /// CPU time and latency per delivery in rooms.
    #[command(
        after_help = "Examples:\n  lynk bench fanout --rooms 10 --members 100 --rate 100 --pid 4711\n  lynk bench fanout --rooms 1 --members 1000 --rate 20 --pairs 11 --pid 4711 --json"
    )]
    Fanout(FanoutArgs),
    /// CPU time of the same sends by a bare loop, without any server.
    #[command(
        after_help = "Examples:\n  lynk bench floor --rooms 10 --members 100 --rate 100\n  lynk bench floor --members 1000 --rooms 1 --bytes 380 --json"
    )]
    Floor(FloorArgs),
}
