//! Connections and connects per network (IPv4 /24, IPv6 /48), counted at one shard for the whole process.

use lynk_domain::{FixedMap, IpPrefix, Nanos, fixed_map};

use crate::bucket::Bucket;

/// Seconds of the connect rate that may come at once.
const BURST_SECONDS: u32 = 2;
/// Networks without connections that are remembered for their rate, before those whose rate is over are swept out.
const IDLE_SWEEP: usize = 4_096;

#[derive(Default)]
struct Network {
    connections: u32,
    connects: Bucket,
}

/// The networks of one shard.
pub(super) struct Networks {
    by_ip: FixedMap<IpPrefix, Network>,
    /// Networks without connections.
    idle: usize,
    /// How many of them start the next sweep.
    sweep_at: usize,
}

impl Networks {
    pub(super) fn new(seed: u64) -> Self {
        Self { by_ip: fixed_map(seed), idle: 0, sweep_at: IDLE_SWEEP }
    }

    /// Counts a connection and says whether it is within the limits (0: none). It counts until it is released even
    /// when it is refused, so that both sides agree whatever arrives first.
    pub(super) fn acquire(&mut self, now: Nanos, ip: IpPrefix, max: u32, rate: u32) -> bool {
        let network = self.by_ip.entry(ip).or_insert_with(|| {
            self.idle += 1;
            Network::default()
        });
        if network.connections == 0 {
            self.idle -= 1;
        }
        network.connections = network.connections.saturating_add(1);
        let within_rate = network.connects.take(now, rate, rate.saturating_mul(BURST_SECONDS)).is_ok();
        within_rate && (max == 0 || network.connections <= max)
    }

    /// A connection is gone.
    pub(super) fn release(&mut self, now: Nanos, ip: IpPrefix) {
        let Some(network) = self.by_ip.get_mut(&ip) else { return };
        if network.connections == 0 {
            return;
        }
        network.connections -= 1;
        if network.connections > 0 {
            return;
        }
        if network.connects.is_full(now) {
            self.by_ip.remove(&ip);
            return;
        }
        self.idle += 1;
        if self.idle > self.sweep_at {
            // The order of this walk reaches no effect. What is left is bounded by the connects of two seconds.
            self.by_ip.retain(|_, network| network.connections > 0 || !network.connects.is_full(now));
            self.idle = self.by_ip.values().filter(|network| network.connections == 0).count();
            self.sweep_at = IDLE_SWEEP.max(2 * self.idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpPrefix = IpPrefix([4, 192, 0, 2, 0, 0, 0]);

    #[test]
    fn a_network_has_a_number_of_connections_and_a_rate_of_connects() {
        let mut networks = Networks::new(1);
        let now = Nanos(Nanos::SECOND);
        assert!((0..3).all(|_| networks.acquire(now, IP, 3, 0)));
        assert!(!networks.acquire(now, IP, 3, 0));
        networks.release(now, IP);
        networks.release(now, IP);
        assert!(networks.acquire(now, IP, 3, 0));

        let mut networks = Networks::new(1);
        assert_eq!((0..20).filter(|_| networks.acquire(now, IP, 0, 5)).count(), 10);
        for _ in 0..20 {
            networks.release(now, IP);
        }
        assert!(!networks.acquire(now, IP, 0, 5), "the rate outlives the connections");
        assert!(networks.acquire(now.after(5 * Nanos::SECOND), IP, 0, 5));
    }

    #[test]
    fn a_network_without_connections_or_recent_connects_takes_no_memory() {
        let mut networks = Networks::new(1);
        networks.acquire(Nanos(1), IP, 0, 5);
        networks.release(Nanos(Nanos::SECOND), IP);
        assert!(networks.by_ip.is_empty());
    }
}
