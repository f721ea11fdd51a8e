//! The address ranges that are not the public Internet.
//!
//! Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890,
//! RFC 8190), the multicast registries, and the cloud providers' pages on their
//! metadata services. A block that the registries call globally reachable is
//! refused as well: none of them holds an API.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether no deployment may allow this address.
pub(super) fn is_never(ip: IpAddr) -> bool {
    NEVER.iter().any(|net| net.contains(&ip))
}

/// Whether this address is not of the public Internet.
pub(super) fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => SPECIAL_V4.iter().any(|net| net.contains(&ip)),
        // What IANA has not opened for global unicast is nobody's API.
        IpAddr::V6(ip) => {
            !GLOBAL_UNICAST.contains(&ip) || SPECIAL_V6.iter().any(|net| net.contains(&ip))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(
        Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]),
        prefix,
    )
}

const NEVER: &[IpNet] = &[
    // "This network", RFC 791, section 3.2; Linux dials itself for 0.0.0.0.
    IpNet::V4(v4(0, 0, 0, 0, 8)),
    // Link-local, RFC 3927. Metadata services live here: 169.254.169.254 (AWS,
    // Google Cloud, Azure, Oracle, DigitalOcean), 169.254.170.2 and .23 (ECS and EKS
    // credentials), 169.254.169.253 (AWS resolver), 169.254.0.23 (Tencent),
    // 169.254.42.42 (Scaleway), and Lambda's own runtime interface.
    IpNet::V4(v4(169, 254, 0, 0, 16)),
    // Alibaba Cloud's metadata service.
    IpNet::V4(v4(100, 100, 100, 200, 32)),
    // Azure's host service (WireServer); a public address in all else.
    IpNet::V4(v4(168, 63, 129, 16, 32)),
    // Oracle Cloud's older metadata service.
    IpNet::V4(v4(192, 0, 0, 192, 32)),
    // Multicast, RFC 5771.
    IpNet::V4(v4(224, 0, 0, 0, 4)),
    // Limited broadcast, RFC 8190 and RFC 919, section 7.
    IpNet::V4(v4(255, 255, 255, 255, 32)),
    // Unspecified, RFC 4291, section 2.5.2.
    IpNet::V6(v6([0, 0, 0, 0, 0, 0, 0, 0], 128)),
    // Link-local unicast, RFC 4291, section 2.5.6; OpenStack's fe80::a9fe:a9fe.
    IpNet::V6(v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)),
    // AWS: fd00:ec2::254 (metadata), ::253 (resolver), ::23 (EKS credentials).
    IpNet::V6(v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32)),
    // Google Cloud's metadata service.
    IpNet::V6(v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128)),
    // Scaleway's metadata service.
    IpNet::V6(v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128)),
    // Multicast, RFC 4291, section 2.7.
    IpNet::V6(v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8)),
];

const SPECIAL_V4: &[Ipv4Net] = &[
    // "This network", RFC 791, section 3.2.
    v4(0, 0, 0, 0, 8),
    // Private use, RFC 1918.
    v4(10, 0, 0, 0, 8),
    // Shared address space, RFC 6598.
    v4(100, 64, 0, 0, 10),
    // Loopback, RFC 1122, section 3.2.1.3.
    v4(127, 0, 0, 0, 8),
    // Link-local, RFC 3927.
    v4(169, 254, 0, 0, 16),
    // Private use, RFC 1918.
    v4(172, 16, 0, 0, 12),
    // IETF protocol assignments, RFC 6890, section 2.1; among them DS-Lite (RFC 7335),
    // PCP (RFC 7723), TURN (RFC 8155), NAT64 discovery (RFC 8880).
    v4(192, 0, 0, 0, 24),
    // Documentation (TEST-NET-1), RFC 5737.
    v4(192, 0, 2, 0, 24),
    // AS112-v4, RFC 7535.
    v4(192, 31, 196, 0, 24),
    // AMT, RFC 7450.
    v4(192, 52, 193, 0, 24),
    // Deprecated 6to4 relay anycast, RFC 7526.
    v4(192, 88, 99, 0, 24),
    // Private use, RFC 1918.
    v4(192, 168, 0, 0, 16),
    // Direct delegation AS112 service, RFC 7534.
    v4(192, 175, 48, 0, 24),
    // Benchmarking, RFC 2544.
    v4(198, 18, 0, 0, 15),
    // Documentation (TEST-NET-2 and -3), RFC 5737.
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // Multicast, RFC 5771.
    v4(224, 0, 0, 0, 4),
    // Reserved, RFC 1112, section 4; limited broadcast, RFC 919, at its end.
    v4(240, 0, 0, 0, 4),
];

/// Global unicast as IANA has opened it so far (IPv6 Address Space registry, RFC 4291).
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const SPECIAL_V6: &[Ipv6Net] = &[
    // Loopback and unspecified, RFC 4291; the rest of ::/96 is IPv4-compatible, section 2.5.5.1.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    // IPv4-mapped, RFC 4291, section 2.5.5.2.
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    // IPv4-translated, RFC 2765, section 2.1.
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    // IPv4/IPv6 translation (NAT64), RFC 6052.
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    // The same for local use, RFC 8215.
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    // Discard-only, RFC 6666.
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    // Dummy prefix, RFC 9780.
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64),
    // IETF protocol assignments, RFC 2928: Teredo (RFC 4380), PCP (RFC 7723), TURN (RFC 8155),
    // benchmarking (RFC 5180), AMT (RFC 7450), AS112 (RFC 7535), ORCHID (RFC 4843, RFC 7343),
    // drone remote ids (RFC 9374).
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    // Documentation, RFC 3849.
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    // 6to4, RFC 3056.
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    // Direct delegation AS112 service, RFC 7534.
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48),
    // The 6bone's former space, RFC 3701.
    v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16),
    // Documentation, RFC 9637.
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    // Segment routing (SRv6) SIDs, RFC 9602.
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
    // Unique-local, RFC 4193.
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    // Link-local unicast, RFC 4291, section 2.5.6.
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    // Deprecated site-local, RFC 3879.
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    // Multicast, RFC 4291, section 2.7.
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];
