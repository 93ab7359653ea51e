//! IP addresses, without those that name no machine of anybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mcp_core::redact::PiiKind;

use super::{
    groups::Groups,
    scan::{Scan, is_word},
};

/// No IPv6 address is written longer.
const LONGEST: usize = 45;

pub(super) fn find(scan: &mut Scan<'_>, groups: &Groups<'_>) {
    // First, as one may end with the other.
    find_v6(scan);
    for index in 0..groups.len() {
        scan.step(16);
        let Some(shaped) = groups.shaped(index, &[0, 0, 0, 0], b".") else { continue };
        if shaped.end - shaped.start > 15 || scan.joined_before(shaped.start) || scan.joined_after(shaped.end)
        {
            continue;
        }
        let address = scan.text[shaped.start..shaped.end].parse::<Ipv4Addr>().ok();
        if address.is_some_and(|address| names_somebody(address.into())) {
            scan.hit(PiiKind::IpAddress, shaped.start, shaped.end);
        }
    }
}

fn find_v6(scan: &mut Scan<'_>) {
    let mut at = 0;
    while at < scan.bytes.len() {
        let run = scan.bytes[at..].iter().take_while(|byte| in_v6(**byte)).count();
        scan.step(run + 1);
        let Some(token) = scan.text.get(at..at + run) else {
            at += 1;
            continue;
        };
        let token = token.trim_end_matches('.');
        let token = token.strip_suffix(':').filter(|rest| !rest.ends_with(':')).unwrap_or(token);
        let end = at + token.len();
        let apart = !is_word(scan.before(at)) && !is_word(scan.at(at + run));
        let sized = (3..=LONGEST).contains(&token.len());
        // `a::b` is a path in some languages.
        let numbered = token.bytes().any(|byte| byte.is_ascii_digit());
        if apart
            && sized
            && numbered
            && token.contains(':')
            && token.parse::<Ipv6Addr>().is_ok_and(|address| names_somebody(address.into()))
        {
            scan.hit(PiiKind::IpAddress, at, end);
        }
        at += run + 1;
    }
}

const fn in_v6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

fn names_somebody(address: IpAddr) -> bool {
    let none = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    match address {
        _ if none => false,
        // Networks of zero, and masks.
        IpAddr::V4(address) => !matches!(address.octets()[0], 0 | 240..),
        IpAddr::V6(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::IpAddress;

    #[test]
    fn addresses_are_found_and_versions_and_times_are_not() {
        for address in [
            "203.0.113.9",
            "10.1.2.3",
            "2001:db8::1",
            "2001:0db8:0:0:0:0:0:1",
            "::ffff:203.0.113.9",
            "fe80::1",
        ] {
            assert_eq!(found(&format!("from {address}, at")), [(IpAddress, address)], "{address}");
        }
        assert_eq!(found("[2001:db8::2]:443"), [(IpAddress, "2001:db8::2")]);
        for text in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "255.255.255.0",
            "v1.2.3.4",
            "1.2.3.4.5",
            "1.2.3",
            "300.1.2.3",
            "01.02.03.04",
            "12:30:45",
            "std::fmt",
            "a::b",
            "12:34:56:78:9a:bc",
            "2024-05-06T07:08:09",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
