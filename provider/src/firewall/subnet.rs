//! An address range in the form `10.89.0.0/24` or `fd00::/64`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IP addresses: a network address and the length of its prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// The text is no address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address range; write it like 10.89.0.0/24 or fd00::/64")]
pub struct ParseSubnetError(String);

impl Subnet {
    /// Whether its addresses are of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// First and last address of an IPv4 range as numbers; `None` for IPv6.
    pub fn ipv4_bounds(&self) -> Option<(u32, u32)> {
        let IpAddr::V4(address) = self.address else {
            return None;
        };
        let first = u32::from(address);
        let hosts = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        Some((first, first | hosts))
    }
}

impl FromStr for Subnet {
    type Err = ParseSubnetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseSubnetError(text.chars().take(64).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let prefix: u8 = prefix.parse().map_err(|_| error())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(error());
        }
        // Bits behind the prefix are cleared, so that equal ranges are equal values.
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        };
        Ok(Subnet { address, prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written_with_their_host_bits_cleared() {
        for (text, expected) in [
            ("10.89.3.7/24", "10.89.3.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("10.0.0.1/32", "10.0.0.1/32"),
            ("fd00::1/64", "fd00::/64"),
            ("::1/128", "::1/128"),
        ] {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_range_knows_its_first_and_last_address() {
        let bounds = |text: &str| {
            let (first, last) = text.parse::<Subnet>().unwrap().ipv4_bounds().unwrap();
            (
                std::net::Ipv4Addr::from(first).to_string(),
                std::net::Ipv4Addr::from(last).to_string(),
            )
        };
        assert_eq!(
            bounds("10.89.3.7/24"),
            ("10.89.3.0".into(), "10.89.3.255".into())
        );
        assert_eq!(
            bounds("10.0.0.1/32"),
            ("10.0.0.1".into(), "10.0.0.1".into())
        );
        assert_eq!(
            bounds("0.0.0.0/0"),
            ("0.0.0.0".into(), "255.255.255.255".into())
        );
        assert_eq!("fd00::/64".parse::<Subnet>().unwrap().ipv4_bounds(), None);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "fd00::/129",
            "a/8",
            "10.0.0.0/-1",
            "10.0.0.0/8; drop",
        ] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
