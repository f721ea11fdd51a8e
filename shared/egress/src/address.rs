//! Which addresses may be dialled.
//!
//! A public name can resolve to anything. So every address is judged after the
//! lookup and before the connection: against the special-purpose registries of
//! IANA, and once more for each IPv4 address that an IPv6 address carries inside.

use crate::Scheme;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod ranges;

/// Why an address may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressDenied {
    /// Metadata services, link-local, multicast, broadcast, unspecified: never
    /// dialled, whatever the deployment allows.
    #[error("an address that is never dialled")]
    Never,
    /// Special-purpose, and not inside a range that the deployment allows.
    #[error("not a public address")]
    NotPublic,
    /// Plain HTTP, and not inside a range that the deployment allows.
    #[error("plain HTTP is for allowed networks only")]
    PlainHttp,
}

/// An allow list does not parse. Names the entry's place, not its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {position} of the allow list: {rule}")]
pub struct AllowListError {
    /// Which entry, counted from 1.
    pub position: usize,
    /// The rule that it must follow.
    pub rule: &'static str,
}

/// Judges each address before it is dialled.
///
/// Its default allows nothing special: public addresses over TLS, no other.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    allow: Vec<IpNet>,
}

impl AddressGuard {
    /// A guard that also lets addresses inside these ranges pass.
    ///
    /// A range allows the addresses that are written in it: `127.0.0.0/8` does not
    /// allow `::ffff:127.0.0.1`.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Parses the deployment's `EGRESS_ALLOW_CIDRS`: CIDRs separated by commas,
    /// blanks around them ignored, none at all in an empty text.
    ///
    /// # Errors
    /// An entry is no CIDR, has bits set past its prefix, or is all of an address
    /// family, which would turn the guard off.
    pub fn parse_list(text: &str) -> Result<Self, AllowListError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let entries = text.split(',').enumerate().map(|(index, entry)| {
            let wrong = |rule| AllowListError {
                position: index + 1,
                rule,
            };
            let net: IpNet = entry
                .trim()
                .parse()
                .map_err(|_| wrong("a CIDR such as 10.1.0.0/16"))?;
            if net.trunc() != net {
                return Err(wrong("no bit is set past the prefix"));
            }
            if net.prefix_len() == 0 {
                return Err(wrong("a network, not every address there is"));
            }
            Ok(net)
        });
        Ok(Self {
            allow: entries.collect::<Result<_, _>>()?,
        })
    }

    /// Whether an address may be dialled with this scheme.
    ///
    /// Each form counts: the address itself, and every IPv4 address that a
    /// transition mechanism carries in it. All of them must be public or allowed.
    ///
    /// # Errors
    /// It may not; see [`AddressDenied`].
    pub fn judge(&self, ip: IpAddr, scheme: Scheme) -> Result<(), AddressDenied> {
        let inner: Vec<IpAddr> = match ip {
            IpAddr::V4(_) => Vec::new(),
            IpAddr::V6(ip) => carried(ip).into_iter().map(IpAddr::V4).collect(),
        };
        let forms = || std::iter::once(ip).chain(inner.iter().copied());
        if forms().any(ranges::is_never) {
            return Err(AddressDenied::Never);
        }
        if forms().any(|form| ranges::is_special(form) && !self.allows(form)) {
            return Err(AddressDenied::NotPublic);
        }
        if scheme == Scheme::Http && !self.allows(ip) {
            return Err(AddressDenied::PlainHttp);
        }
        Ok(())
    }

    fn allows(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(&ip))
    }
}

/// The IPv4 addresses that an IPv6 address carries, in every mechanism that would
/// send its packets on to one.
fn carried(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let o = ip.octets();
    let at = |a: usize, b: usize, c: usize, d: usize| Ipv4Addr::new(o[a], o[b], o[c], o[d]);
    let last = at(12, 13, 14, 15);
    let mut found = match ip.segments() {
        // IPv4-mapped and IPv4-compatible, RFC 4291, section 2.5.5. The loopback and
        // the unspecified address are compatible forms of 0.0.0.1 and 0.0.0.0: judged as themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] => vec![last],
        // IPv4-translated, RFC 2765, section 2.1.
        [0, 0, 0, 0, 0xffff, 0, _, _] => vec![last],
        // NAT64's well-known prefix, RFC 6052, section 2.1.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![last],
        // NAT64's local-use prefix, RFC 8215: an operator may cut it into any of the
        // prefix lengths of RFC 6052, section 2.2, whose octet 8 stays free.
        [0x64, 0xff9b, 1, ..] => vec![last, at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12)],
        // 6to4, RFC 3056, section 2.
        [0x2002, ..] => vec![at(2, 3, 4, 5)],
        // Teredo, RFC 4380, section 4: the server, and the client with its bits turned.
        [0x2001, 0, ..] => vec![at(4, 5, 6, 7), Ipv4Addr::from(!u32::from(last))],
        _ => Vec::new(),
    };
    // ISATAP, RFC 5214, section 6.1: any prefix, and an interface id that says so.
    if matches!(ip.segments(), [_, _, _, _, 0 | 0x0200, 0x5efe, _, _]) {
        found.push(last);
    }
    found
}

#[cfg(test)]
pub(crate) mod tests;
