//! How often one address may try: a bucket per address that refills evenly.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use lynk_domain::Nanos;

/// Addresses that are counted at a time. Above it, all further ones share one bucket.
pub const ADDRESSES_MAX: usize = 65_536;

/// What counts as one address: all of an IPv4 address, the first 48 bits of an IPv6 one, which is what one customer gets.
#[must_use]
pub fn address_key(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[6..].fill(0);
            octets
        }
    }
}

/// Buckets by address. A bucket holds a minute's worth and refills in a minute.
#[derive(Default)]
pub struct Attempts {
    /// When the bucket is full again; those that are full are not kept.
    full_at: BTreeMap<[u8; 16], Nanos>,
}

impl Attempts {
    /// Takes one of `per_minute` from the bucket of `address`; 0 is no limit.
    ///
    /// # Errors
    /// The bucket is empty: milliseconds until it has one.
    pub fn take(&mut self, now: Nanos, address: IpAddr, per_minute: u32) -> Result<(), u64> {
        self.take_of(now, address_key(address), per_minute, 60 * Nanos::SECOND)
    }

    /// Takes one from the bucket of `key`, which holds `burst` and refills in `window` nanoseconds; 0 is no limit.
    ///
    /// # Errors
    /// The bucket is empty: milliseconds until it has one.
    pub fn take_of(&mut self, now: Nanos, key: [u8; 16], burst: u32, window: u64) -> Result<(), u64> {
        if burst == 0 {
            return Ok(());
        }
        let key = self.key(now, key);
        let one = window / u64::from(burst);
        let full_at = self.full_at.get(&key).copied().unwrap_or_default().max(now);
        let next = full_at.after(one);
        if next.since(now) > window {
            return Err((next.since(now) - window).div_ceil(Nanos::MILLISECOND));
        }
        self.full_at.insert(key, next);
        Ok(())
    }

    fn key(&mut self, now: Nanos, key: [u8; 16]) -> [u8; 16] {
        /// No address: the bucket of those for which there is no room.
        const SHARED: [u8; 16] = [0xff; 16];
        if self.full_at.len() >= ADDRESSES_MAX && !self.full_at.contains_key(&key) {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= ADDRESSES_MAX {
                return SHARED;
            }
        }
        key
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempts({} addresses)", self.full_at.len())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    #[test]
    fn a_minute_gives_so_many_and_then_one_by_one() {
        let mut attempts = Attempts::default();
        let taken = (0..30).filter(|_| attempts.take(Nanos(0), address(1), 20).is_ok()).count();
        assert_eq!(taken, 20);
        assert_eq!(attempts.take(Nanos(0), address(1), 20), Err(3_000));
        assert_eq!(attempts.take(Nanos(0), address(2), 20), Ok(()));
        assert_eq!(attempts.take(Nanos(3 * Nanos::SECOND), address(1), 20), Ok(()));
        assert!(attempts.take(Nanos(3 * Nanos::SECOND), address(1), 20).is_err());
        assert_eq!(attempts.take(Nanos(0), address(1), 0), Ok(()), "no limit");
    }

    #[test]
    fn one_customer_of_ipv6_is_one_address() {
        let of = |text: &str| address_key(text.parse().expect("address"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::9"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn addresses_without_number_share_a_bucket_rather_than_memory() {
        let mut attempts = Attempts::default();
        let mut refused = 0;
        for n in 0..ADDRESSES_MAX as u32 + 100 {
            refused += u32::from(attempts.take(Nanos(0), address(n), 20).is_err());
        }
        assert_eq!(refused, 80);
        assert!(attempts.full_at.len() <= ADDRESSES_MAX + 1);
        let late = IpAddr::from(Ipv6Addr::LOCALHOST);
        assert_eq!(attempts.take(Nanos(61 * Nanos::SECOND), late, 20), Ok(()));
        assert_eq!(attempts.full_at.len(), 1, "full buckets are forgotten");
    }
}
