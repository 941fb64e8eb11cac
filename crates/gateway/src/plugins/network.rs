//! Networks such as `10.0.0.0/8` and `fd00::/8`, and whether an address is in one of them.

use std::net::IpAddr;

/// A list of networks and single addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    bits: u8,
}

impl Networks {
    /// Reads addresses and networks. The error is the first text that is neither.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, &str> {
        texts
            .iter()
            .map(|text| Network::parse(text).ok_or(text.as_str()))
            .collect::<Result<_, _>>()
            .map(Networks)
    }

    /// Tells whether an address is in one of the networks. An IPv4 address in IPv6 form counts as IPv4.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let Some((base, bits)) = text.split_once('/') else {
            let base = text.parse::<IpAddr>().ok()?.to_canonical();
            return Some(Network {
                base,
                bits: width(base),
            });
        };
        let base = base.parse::<IpAddr>().ok()?;
        let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= width(base))?;
        match base.to_canonical() {
            // `::ffff:10.0.0.0/104` is `10.0.0.0/8`; shorter prefixes reach beyond IPv4 and stay IPv6.
            canonical @ IpAddr::V4(_) if base.is_ipv6() && bits >= 96 => Some(Network {
                base: canonical,
                bits: bits - 96,
            }),
            _ => Some(Network { base, bits }),
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => (base.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits() ^ address.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= u32::from(self.bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Networks::parse(&[network.to_owned()])
            .unwrap()
            .contain(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_network_up_to_its_last_one() {
        assert!(contains("10.1.2.0/23", "10.1.3.255"));
        assert!(!contains("10.1.2.0/23", "10.1.4.0"));
        assert!(!contains("10.1.2.0/23", "10.1.1.255"));
        assert!(contains("10.1.2.3/24", "10.1.2.200"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
    }

    #[test]
    fn single_addresses_match_only_themselves() {
        assert!(contains("127.0.0.1", "127.0.0.1"));
        assert!(!contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("::1", "::1"));
    }

    #[test]
    fn ipv4_in_ipv6_form_is_ipv4() {
        assert!(contains("10.0.0.0/8", "::ffff:10.9.9.9"));
        assert!(contains("::ffff:10.0.0.0/104", "10.9.9.9"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for wrong in ["10.0.0.0/33", "::1/129", "10.0.0", "x", "10.0.0.0/", "1.2.3.4/-1"] {
            assert_eq!(Networks::parse(&[wrong.to_owned()]), Err(wrong));
        }
    }
}
