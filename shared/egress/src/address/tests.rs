use super::*;
use AddressDenied::{Never, NotPublic};
use proptest::prelude::*;

/// Addresses, each with what becomes of it where nothing special is allowed.
#[rustfmt::skip]
pub(crate) const TABLE: &[(&str, Result<(), AddressDenied>)] = &[
    ("8.8.8.8", Ok(())),
    ("1.1.1.1", Ok(())),
    ("100.63.255.255", Ok(())),
    ("100.128.0.0", Ok(())),
    ("172.15.255.255", Ok(())),
    ("172.32.0.0", Ok(())),
    ("192.167.255.255", Ok(())),
    ("198.17.255.255", Ok(())),
    ("223.255.255.255", Ok(())),
    ("2606:4700:4700::1111", Ok(())),
    ("2a00:1450:4001:80b::200e", Ok(())),
    ("2001:4860:4860::8888", Ok(())),
    ("0.0.0.0", Err(Never)),
    ("0.1.2.3", Err(Never)),
    ("10.0.0.1", Err(NotPublic)),
    ("100.64.0.1", Err(NotPublic)),
    ("100.100.100.200", Err(Never)),
    ("127.0.0.1", Err(NotPublic)),
    ("127.255.255.255", Err(NotPublic)),
    ("168.63.129.16", Err(Never)),
    ("169.254.0.1", Err(Never)),
    ("169.254.169.254", Err(Never)),
    ("169.254.170.2", Err(Never)),
    ("169.254.170.23", Err(Never)),
    ("172.16.0.1", Err(NotPublic)),
    ("172.31.255.255", Err(NotPublic)),
    ("192.0.0.8", Err(NotPublic)),
    ("192.0.0.192", Err(Never)),
    ("192.0.2.1", Err(NotPublic)),
    ("192.31.196.1", Err(NotPublic)),
    ("192.52.193.1", Err(NotPublic)),
    ("192.88.99.1", Err(NotPublic)),
    ("192.168.1.1", Err(NotPublic)),
    ("192.175.48.1", Err(NotPublic)),
    ("198.18.0.1", Err(NotPublic)),
    ("198.19.255.255", Err(NotPublic)),
    ("198.51.100.1", Err(NotPublic)),
    ("203.0.113.1", Err(NotPublic)),
    ("224.0.0.1", Err(Never)),
    ("239.255.255.255", Err(Never)),
    ("240.0.0.1", Err(NotPublic)),
    ("255.255.255.255", Err(Never)),
    ("::", Err(Never)),
    ("::1", Err(NotPublic)),
    ("::7f00:1", Err(NotPublic)),
    ("::a9fe:a9fe", Err(Never)),
    ("::ffff:8.8.8.8", Err(NotPublic)),
    ("::ffff:127.0.0.1", Err(NotPublic)),
    ("::ffff:169.254.169.254", Err(Never)),
    ("::ffff:0:169.254.169.254", Err(Never)),
    ("64:ff9b::8.8.8.8", Err(NotPublic)),
    ("64:ff9b::10.0.0.1", Err(NotPublic)),
    ("64:ff9b::169.254.169.254", Err(Never)),
    ("64:ff9b:1::169.254.169.254", Err(Never)),
    ("64:ff9b:1:a9fe:a9:fe00::", Err(Never)),
    ("100::1", Err(NotPublic)),
    ("100:0:0:1::1", Err(NotPublic)),
    ("2001::1", Err(Never)),
    ("2001:0:808:808:0:0:f7f7:f7f7", Err(NotPublic)),
    ("2001:0:808:808:0:0:5601:5601", Err(Never)),
    ("2001:2::1", Err(NotPublic)),
    ("2001:20::1", Err(NotPublic)),
    ("2001:db8::1", Err(NotPublic)),
    ("2002:808:808::1", Err(NotPublic)),
    ("2002:a9fe:a9fe::1", Err(Never)),
    ("2620:4f:8000::1", Err(NotPublic)),
    ("2a00:1450::5efe:a00:1", Err(NotPublic)),
    ("2a00:1450::200:5efe:a9fe:a9fe", Err(Never)),
    ("2a00:1450::200:5efe:808:808", Ok(())),
    ("3ffe::1", Err(NotPublic)),
    ("3fff::1", Err(NotPublic)),
    ("4000::1", Err(NotPublic)),
    ("5f00::1", Err(NotPublic)),
    ("fc00::1", Err(NotPublic)),
    ("fd00::1", Err(NotPublic)),
    ("fd00:ec2::254", Err(Never)),
    ("fd00:ec2::23", Err(Never)),
    ("fd00:42::42", Err(Never)),
    ("fd20:ce::254", Err(Never)),
    ("fe80::1", Err(Never)),
    ("fe80::a9fe:a9fe", Err(Never)),
    ("fec0::1", Err(NotPublic)),
    ("ff02::1", Err(Never)),
    ("0.255.255.255", Err(Never)),
    ("9.255.255.255", Ok(())),
    ("11.0.0.0", Ok(())),
    ("10.255.255.255", Err(NotPublic)),
    ("100.127.255.255", Err(NotPublic)),
    ("126.255.255.255", Ok(())),
    ("128.0.0.0", Ok(())),
    ("169.253.255.255", Ok(())),
    ("169.255.0.0", Ok(())),
    ("192.169.0.0", Ok(())),
    ("198.20.0.0", Ok(())),
    ("255.255.255.254", Err(NotPublic)),
    ("::2", Err(Never)),
    ("::ffff:0.0.0.0", Err(Never)),
    ("::ffff:100.100.100.200", Err(Never)),
    ("64:ff9b::168.63.129.16", Err(Never)),
    ("2002:7f00:1::", Err(NotPublic)),
    ("2002:a83f:8110::1", Err(Never)),
    ("2a00:1450::5efe:6464:64c8", Err(Never)),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Err(NotPublic)),
    ("fe7f::1", Err(NotPublic)),
    ("febf::1", Err(Never)),
    ("ff0e::1", Err(Never)),
    ("2606:4700::6810:84e5", Ok(())),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_address_has_its_expected_verdict() {
    let guard = AddressGuard::default();
    let wrong: Vec<_> = TABLE
        .iter()
        .map(|(text, expected)| (text, guard.judge(ip(text), Scheme::Https), expected))
        .filter(|(_, verdict, expected)| verdict != *expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_allowed_range_lets_its_own_addresses_pass_and_no_others() {
    let guard = AddressGuard::parse_list("127.0.0.0/8, ::1/128,10.1.0.0/16").unwrap();
    for text in ["127.0.0.1", "::1", "10.1.2.3"] {
        assert_eq!(guard.judge(ip(text), Scheme::Https), Ok(()), "{text}");
        assert_eq!(guard.judge(ip(text), Scheme::Http), Ok(()), "{text}");
    }
    for text in ["10.2.0.1", "::ffff:127.0.0.1", "::7f00:1", "192.168.0.1"] {
        assert_eq!(
            guard.judge(ip(text), Scheme::Https),
            Err(NotPublic),
            "{text}"
        );
    }
}

#[test]
fn plain_http_stays_inside_the_allowed_ranges() {
    let guard = AddressGuard::parse_list("8.8.0.0/16").unwrap();
    assert_eq!(guard.judge(ip("8.8.8.8"), Scheme::Http), Ok(()));
    assert_eq!(
        guard.judge(ip("1.1.1.1"), Scheme::Http),
        Err(AddressDenied::PlainHttp)
    );
    assert_eq!(guard.judge(ip("1.1.1.1"), Scheme::Https), Ok(()));
    assert_eq!(
        AddressGuard::default().judge(ip("8.8.8.8"), Scheme::Http),
        Err(AddressDenied::PlainHttp)
    );
}

#[test]
fn nothing_allows_a_metadata_service() {
    let guard = AddressGuard::parse_list("0.0.0.0/1,128.0.0.0/1,::/1,8000::/1").unwrap();
    for (text, expected) in TABLE {
        let verdict = guard.judge(ip(text), Scheme::Http);
        let expected = if *expected == Err(Never) {
            Err(Never)
        } else {
            Ok(())
        };
        assert_eq!(verdict, expected, "{text}");
    }
}

#[test]
fn an_allowed_wrapper_still_has_its_content_judged() {
    let guard = AddressGuard::parse_list("64:ff9b::/96,2002::/16").unwrap();
    assert_eq!(guard.judge(ip("64:ff9b::8.8.8.8"), Scheme::Https), Ok(()));
    assert_eq!(
        guard.judge(ip("64:ff9b::10.0.0.1"), Scheme::Https),
        Err(NotPublic)
    );
    assert_eq!(
        guard.judge(ip("2002:7f00:1::1"), Scheme::Https),
        Err(NotPublic)
    );
}

#[test]
fn a_list_that_is_not_of_cidrs_is_refused_by_place() {
    assert!(AddressGuard::parse_list("").unwrap().allow.is_empty());
    assert!(AddressGuard::parse_list("  ").unwrap().allow.is_empty());
    for (text, position) in [
        ("127.0.0.1", 1),
        ("10.0.0.0/8,", 2),
        ("10.0.0.0/8,,::1/128", 2),
        ("10.0.0.1/8", 1),
        ("::1/128, 0.0.0.0/0", 2),
        ("::/0", 1),
        ("10.0.0.0/33", 1),
        ("10.0.0.0/8;::1/128", 1),
        ("localhost/8", 1),
    ] {
        assert_eq!(
            AddressGuard::parse_list(text).unwrap_err().position,
            position,
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn what_carries_a_refused_ipv4_address_is_refused_however_it_is_wrapped(bits: u32, prefix: u64) {
        let guard = AddressGuard::parse_list("::/1,8000::/1").unwrap();
        let inner = Ipv4Addr::from(bits);
        if guard.judge(inner.into(), Scheme::Https).is_err() {
            let bits = u128::from(bits);
            for wrapped in [
                0xffff_u128 << 32 | bits,
                0xffff_u128 << 48 | bits,
                0x0064_ff9b_u128 << 96 | bits,
                0x0064_ff9b_0001_u128 << 80 | bits,
                0x2002_u128 << 112 | bits << 80,
                0x2001_0000_u128 << 96 | 0x0808_0808_u128 << 64 | (!bits & 0xffff_ffff),
                0x2001_0000_u128 << 96 | bits << 64 | 0xf7f7_f7f7,
                u128::from(prefix) << 64 | 0x5efe_u128 << 32 | bits,
            ] {
                let wrapped = Ipv6Addr::from(wrapped);
                prop_assert!(guard.judge(wrapped.into(), Scheme::Https).is_err(), "{wrapped} carries {inner}");
            }
        }
    }
}
