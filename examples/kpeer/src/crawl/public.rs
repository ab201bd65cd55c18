//! Decides which addresses belong to the public internet.

use iprfc::RFC6890;
use std::net::IpAddr;

/// Returns whether an address can be a node of the public internet. It is none in IANA's registries of special-purpose
/// addresses: private, shared, reserved and documentation ranges, and those that carry an IPv4 address of any kind
/// (NAT64, 6to4, Teredo).
pub fn is_public(ip: IpAddr) -> bool {
    // An IPv4 address in IPv6 notation is the IPv4 address.
    let ip = ip.to_canonical();
    let is_unicast = match ip {
        IpAddr::V4(ip) => !ip.is_multicast(),
        // IANA has given out global unicast addresses in 2000::/3 only.
        IpAddr::V6(ip) => matches!(ip.octets(), [0x20..=0x3f, ..]),
    };
    is_unicast && !RFC6890.contains(&ip)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for ip in
            ["1.1.1.1", "11.0.0.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "223.255.255.1", "2600::1", "2a00::1"]
        {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        let special = [
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:192.0.2.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for ip in special {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        assert!(is_public("::ffff:1.1.1.1".parse().unwrap()));
    }
}
