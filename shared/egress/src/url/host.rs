//! The authority of a URL: whom, and on which port.

use super::{Host, UrlError};
use std::{fmt::Write, net::IpAddr};

/// Takes what stands between `//` and the path: a host and perhaps a port.
pub(super) fn parse(authority: &str) -> Result<(Host, Option<u16>), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    // Neither encoded bytes nor a zone id (RFC 6874) belong into a host.
    if authority.is_empty() || authority.contains('%') {
        return Err(UrlError::Host);
    }
    let (host, port) = split_port(authority)?;
    Ok((parse_host(host)?, port.map(parse_port).transpose()?))
}

/// Writes a host as a URL and a Host header have it.
pub(super) fn write(host: &Host, to: &mut String) {
    match host {
        Host::Domain(name) => to.push_str(name),
        // url's own spelling of IPv6 (RFC 5952, but all in hexadecimal), so that both parsers agree.
        Host::Ip(IpAddr::V6(ip)) => {
            write!(to, "{}", ::url::Host::<&str>::Ipv6(*ip)).expect("a String takes any text");
        }
        Host::Ip(IpAddr::V4(ip)) => write!(to, "{ip}").expect("a String takes any text"),
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(UrlError::Host)? + 1;
        let (host, rest) = authority.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UrlError::Host),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(UrlError::Host),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn parse_port(port: &str) -> Result<u16, UrlError> {
    if port.starts_with('0') || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    port.parse().map_err(|_| UrlError::Port)
}

fn parse_host(host: &str) -> Result<Host, UrlError> {
    match ::url::Host::parse(host).map_err(|_| UrlError::Host)? {
        // 0177.0.0.1, 0x7f000001, 127.1 and 127。0。0。1 all parse as 127.0.0.1.
        ::url::Host::Ipv4(ip) if ip.to_string() == host => Ok(Host::Ip(ip.into())),
        ::url::Host::Ipv4(_) => Err(UrlError::Ipv4Spelling),
        ::url::Host::Ipv6(ip) => Ok(Host::Ip(ip.into())),
        ::url::Host::Domain(name) if is_dns_name(&name) => Ok(Host::Domain(name)),
        ::url::Host::Domain(_) => Err(UrlError::Host),
    }
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63 (RFC 1035,
/// section 2.3.4; RFC 1123, section 2.1; underscores are in use). An empty last
/// label would be a trailing dot.
fn is_dns_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| {
                    b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_')
                })
        })
}
