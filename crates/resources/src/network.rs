//! Lists of addresses and networks, as in allow lists and `remote_addrs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// IPv4 and IPv6 addresses and networks in CIDR notation.
///
/// An IPv4 address that arrives in an IPv6 one (`::ffff:192.0.2.1`) counts as the IPv4 address, in the list as well as
/// in what is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<Network<u32>>,
    v6: Vec<Network<u128>>,
}

/// The text is neither an address nor a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid ip address: {0}")]
pub struct InvalidNetwork(pub String);

/// The addresses that agree with `address` in the bits of `mask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network<A> {
    address: A,
    mask: A,
}

impl Networks {
    /// Reads a list. Bits of an address behind its prefix length do not matter.
    ///
    /// # Errors
    /// An entry is no address and no network; the error names it.
    pub fn parse<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> Result<Networks, InvalidNetwork> {
        let mut networks = Networks::default();
        for text in list {
            let text = text.as_ref();
            if networks.push(text).is_none() {
                return Err(InvalidNetwork(text.to_owned()));
            }
        }
        Ok(networks)
    }

    /// Whether an address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                self.v4
                    .iter()
                    .any(|network| bits & network.mask == network.address)
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.v6
                    .iter()
                    .any(|network| bits & network.mask == network.address)
            }
        }
    }

    /// Whether the list is empty: nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    fn push(&mut self, text: &str) -> Option<()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(prefix_length(length)?)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(address) => self.push_v4(address, length.unwrap_or(32)),
            IpAddr::V6(address) => {
                let length = length.unwrap_or(128);
                match (address.to_ipv4_mapped(), length.checked_sub(MAPPED_BITS)) {
                    (Some(address), Some(length)) => self.push_v4(address, length),
                    _ => self.push_v6(address, length),
                }
            }
        }
    }

    fn push_v4(&mut self, address: Ipv4Addr, length: u32) -> Option<()> {
        let host_bits = 32_u32.checked_sub(length)?;
        let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
        self.v4.push(Network {
            address: address.to_bits() & mask,
            mask,
        });
        Some(())
    }

    fn push_v6(&mut self, address: Ipv6Addr, length: u32) -> Option<()> {
        let host_bits = 128_u32.checked_sub(length)?;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        self.v6.push(Network {
            address: address.to_bits() & mask,
            mask,
        });
        Some(())
    }
}

/// Digits only: `u32::from_str` would take a plus sign as well.
fn prefix_length(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The length of `::ffff:0:0/96`, the network of IPv4 addresses within IPv6.
const MAPPED_BITS: u32 = 96;

#[cfg(test)]
mod tests {
    use super::{InvalidNetwork, Networks};

    fn has(list: &[&str], address: &str) -> bool {
        Networks::parse(list).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_contain_what_they_say() {
        for (list, inside, outside) in [
            (&["127.0.0.1"][..], "127.0.0.1", "127.0.0.2"),
            (&["10.0.0.0/8"], "10.255.255.255", "11.0.0.0"),
            (&["192.168.3.7/24"], "192.168.3.0", "192.168.4.0"),
            (&["192.0.2.128/25"], "192.0.2.128", "192.0.2.127"),
            (&["192.0.2.1/32"], "192.0.2.1", "192.0.2.0"),
            (&["0.0.0.0/0"], "255.255.255.255", "::1"),
            (&["::1"], "::1", "::2"),
            (&["2001:db8::/32"], "2001:db8:ffff::1", "2001:db9::"),
            (&["::/0"], "2001:db8::1", "1.2.3.4"),
            (&["1.1.1.1", "fe80::/10", "2.2.2.2"], "febf::1", "fec0::1"),
        ] {
            assert!(has(list, inside), "{list:?} {inside}");
            assert!(!has(list, outside), "{list:?} {outside}");
        }
        assert!(!has(&[], "127.0.0.1"));
    }

    #[test]
    fn a_mapped_address_counts_as_ipv4() {
        assert!(has(&["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(has(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(!has(&["::ffff:10.0.0.0/104"], "11.1.2.3"));
        assert!(has(&["::ffff:10.0.0.1"], "10.0.0.1"));
        assert!(!has(&["::/0"], "::ffff:10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in [
            "",
            "localhost",
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/+8",
            "1.2.3.4/",
            "1.2.3.4/8/8",
            "::/129",
            " 1.2.3.4",
            "01.2.3.4",
            "[::1]",
            "1.2.3.4/99999999999",
        ] {
            let error = Networks::parse(["127.0.0.1", text]).unwrap_err();
            assert_eq!(error, InvalidNetwork(text.to_owned()));
            assert_eq!(error.to_string(), format!("invalid ip address: {text}"));
        }
    }
}
