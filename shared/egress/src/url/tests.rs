use super::*;
use proptest::prelude::*;

/// Hostile or odd URLs, each with what becomes of it.
#[rustfmt::skip]
pub(crate) const TABLE: &[(&str, Result<&str, UrlError>)] = &[
    // What is only spelled differently has one form.
    ("https://api.example.com", Ok("https://api.example.com/")),
    ("HTTPS://API.Example.COM/V1", Ok("https://api.example.com/V1")),
    ("https://api.example.com:443/v1", Ok("https://api.example.com/v1")),
    ("http://api.example.com:80", Ok("http://api.example.com/")),
    ("http://api.example.com:443", Ok("http://api.example.com:443/")),
    ("https://api.example.com:8443/v1", Ok("https://api.example.com:8443/v1")),
    ("https://api.example.com?q=1", Ok("https://api.example.com/?q=1")),
    ("https://api.example.com/a/./b/../c", Ok("https://api.example.com/a/c")),
    ("https://api.example.com/a/b/..", Ok("https://api.example.com/a/")),
    ("https://api.example.com/a/.", Ok("https://api.example.com/a/")),
    ("https://api.example.com/../../x", Ok("https://api.example.com/x")),
    ("https://api.example.com/..", Ok("https://api.example.com/")),
    ("https://api.example.com/a//b", Ok("https://api.example.com/a//b")),
    ("https://api.example.com/a//../b", Ok("https://api.example.com/a/b")),
    ("https://api.example.com/%7euser/%41", Ok("https://api.example.com/~user/A")),
    ("https://api.example.com/a%c3%a9b", Ok("https://api.example.com/a%C3%A9b")),
    ("https://api.example.com/a%3ab", Ok("https://api.example.com/a%3Ab")),
    ("https://api.example.com/100%25", Ok("https://api.example.com/100%25")),
    ("https://api.example.com/m/x:predict", Ok("https://api.example.com/m/x:predict")),
    ("https://api.example.com/a.b/.c/d..e", Ok("https://api.example.com/a.b/.c/d..e")),
    ("https://api.example.com/x;v=1", Ok("https://api.example.com/x;v=1")),
    ("https://api.example.com/?a=%2f%2e&b[]={'x'}|", Ok("https://api.example.com/?a=%2F%2E&b[]={'x'}|")),
    ("https://api.example.com/?a=../../b", Ok("https://api.example.com/?a=../../b")),
    ("https://api.example.com/?a=line%0d%0a", Ok("https://api.example.com/?a=line%0D%0A")),
    ("https://api.example.com/?", Ok("https://api.example.com/?")),
    ("https://bücher.example/", Ok("https://xn--bcher-kva.example/")),
    ("https://xn--bcher-kva.example/", Ok("https://xn--bcher-kva.example/")),
    ("https://_dmarc.example.com/", Ok("https://_dmarc.example.com/")),
    ("https://203.0.113.7/", Ok("https://203.0.113.7/")),
    ("https://[2001:DB8:0:0::1]:8443/", Ok("https://[2001:db8::1]:8443/")),
    ("http://[::ffff:127.0.0.1]/", Ok("http://[::ffff:7f00:1]/")),
    // Scheme and slashes.
    ("", Err(UrlError::Scheme)),
    ("api.example.com", Err(UrlError::Scheme)),
    ("//api.example.com/", Err(UrlError::Scheme)),
    ("https:api.example.com", Err(UrlError::Scheme)),
    ("https:/api.example.com", Err(UrlError::Scheme)),
    ("https:///api.example.com/", Err(UrlError::Host)),
    ("ftp://api.example.com/", Err(UrlError::Scheme)),
    ("file:///etc/passwd", Err(UrlError::Scheme)),
    ("gopher://127.0.0.1:6379/_x", Err(UrlError::Scheme)),
    ("javascript://example.com/", Err(UrlError::Scheme)),
    (" https://api.example.com/", Err(UrlError::Character)),
    ("https://api.example.com/ ", Err(UrlError::Character)),
    ("ht\ttps://api.example.com/", Err(UrlError::Character)),
    ("https://api.exa\nmple.com/", Err(UrlError::Character)),
    ("https://api.example.com/a\r\nHost: evil", Err(UrlError::Character)),
    ("https://api.example.com/\u{0}", Err(UrlError::Character)),
    ("https://api.example.com/\u{85}", Err(UrlError::Character)),
    ("https://api.example.com/\u{2028}", Err(UrlError::Character)),
    ("https://api.example.com\\@evil.example/", Err(UrlError::Character)),
    ("https:\\\\api.example.com/", Err(UrlError::Character)),
    ("https://api.example.com/a\\..\\b", Err(UrlError::Character)),
    // Authority.
    ("https://user@api.example.com/", Err(UrlError::UserInfo)),
    ("https://user:pass@api.example.com/", Err(UrlError::UserInfo)),
    ("https://api.example.com:443@evil.example/", Err(UrlError::UserInfo)),
    ("https://@api.example.com/", Err(UrlError::UserInfo)),
    ("https://api.example.com#@evil.example/", Err(UrlError::Fragment)),
    ("https://api.example.com/#", Err(UrlError::Fragment)),
    ("https://", Err(UrlError::Host)),
    ("https://:443/", Err(UrlError::Host)),
    ("https://?q", Err(UrlError::Host)),
    ("https://api.example.com./", Err(UrlError::Host)),
    ("https://./", Err(UrlError::Host)),
    ("https://api..example.com/", Err(UrlError::Host)),
    ("https://api.example.com。/", Err(UrlError::Host)),
    ("https://%61pi.example.com/", Err(UrlError::Host)),
    ("https://api.example.com%2eevil.example/", Err(UrlError::Host)),
    ("https://api.example.com%00.evil.example/", Err(UrlError::Host)),
    ("https://api_$x.example.com/", Err(UrlError::Host)),
    ("https://api.example.com,evil.example/", Err(UrlError::Host)),
    ("https://api.example.com;evil.example/", Err(UrlError::Host)),
    ("https://*.example.com/", Err(UrlError::Host)),
    ("https://-api.example.com/", Err(UrlError::Host)),
    ("https://xn--zzzzzzzz99999999999.example/", Err(UrlError::Host)),
    ("https://api.example.com:/", Err(UrlError::Port)),
    ("https://api.example.com:0/", Err(UrlError::Port)),
    ("https://api.example.com:00443/", Err(UrlError::Port)),
    ("https://api.example.com:65536/", Err(UrlError::Port)),
    ("https://api.example.com:+443/", Err(UrlError::Port)),
    ("https://api.example.com:443:80/", Err(UrlError::Host)),
    ("https://api.example.com:44３/", Err(UrlError::Port)),
    // Addresses in disguise.
    ("http://127.1/", Err(UrlError::Ipv4Spelling)),
    ("http://2130706433/", Err(UrlError::Ipv4Spelling)),
    ("http://0x7f000001/", Err(UrlError::Ipv4Spelling)),
    ("http://0x7f.0.0.1/", Err(UrlError::Ipv4Spelling)),
    ("http://0177.0.0.1/", Err(UrlError::Ipv4Spelling)),
    ("http://127.0.0.01/", Err(UrlError::Ipv4Spelling)),
    ("http://127.0.0.1./", Err(UrlError::Ipv4Spelling)),
    ("http://127。0。0。1/", Err(UrlError::Ipv4Spelling)),
    ("http://①②⑦.0.0.1/", Err(UrlError::Ipv4Spelling)),
    ("http://0/", Err(UrlError::Ipv4Spelling)),
    ("http://1.2.3.256/", Err(UrlError::Host)),
    ("http://1.2.3.4.5/", Err(UrlError::Host)),
    ("http://example.0x1/", Err(UrlError::Host)),
    ("http://[fe80::1%25eth0]/", Err(UrlError::Host)),
    ("http://[fe80::1%eth0]/", Err(UrlError::Host)),
    ("http://[::1", Err(UrlError::Host)),
    ("http://[::1]evil.example/", Err(UrlError::Host)),
    ("http://[127.0.0.1]/", Err(UrlError::Host)),
    ("http://[]/", Err(UrlError::Host)),
    ("http://::1/", Err(UrlError::Host)),
    ("http://[::1]:/", Err(UrlError::Port)),
    // Paths that two servers read in two ways.
    ("https://api.example.com/v1%2f..%2fadmin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1%5c..%5cadmin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%2e%2e/admin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/.%2E/admin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%252e%252e/admin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1%252fadmin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1%255cadmin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1%25252fadmin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1%25%32%66admin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1%25%32fadmin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%00", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%0d%0aX: y", Err(UrlError::Character)),
    ("https://api.example.com/v1/%0d%0aX", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%7f", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%c2%85", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%c0%ae%c0%ae/admin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%c0%afadmin", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%ff", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%2", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%zz", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%u002e", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/..;/admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/..;x=1/admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/.;/admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/..%3b/admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/;/admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/;..", Err(UrlError::Segment)),
    ("https://api.example.com/v1/..%20/admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/%20../admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/.../admin", Err(UrlError::Segment)),
    ("https://api.example.com/v1/..%3fx", Err(UrlError::Segment)),
    ("https://api.example.com/v1/..%23x", Err(UrlError::Segment)),
    ("https://api.example.com//evil.example/", Err(UrlError::Segment)),
    ("https://api.example.com/.//evil.example/", Err(UrlError::Segment)),
    ("https://api.example.com/v1/ä", Err(UrlError::Character)),
    ("https://api.example.com/v1/{x}", Err(UrlError::Character)),
    ("https://api.example.com/v1/\"x\"", Err(UrlError::Character)),
    ("https://api.example.com/?q=ä", Err(UrlError::Character)),
    ("https://api.example.com/?q=<x>", Err(UrlError::Character)),
    ("https://api.example.com/?q=%00", Err(UrlError::Encoding)),
    ("https://api.example.com/?q=%", Err(UrlError::Encoding)),
    // The same tricks once more, where others have fallen for them.
    ("https://api.example.com\t.evil.example/", Err(UrlError::Character)),
    ("https://api.example.com\u{ad}.evil.example/", Ok("https://api.example.com.evil.example/")),
    ("https://api.example.com／evil.example/", Err(UrlError::Host)),
    ("https://api.example.com％2fevil.example/", Err(UrlError::Host)),
    ("https://evil.example/https://api.example.com/", Ok("https://evil.example/https://api.example.com/")),
    ("https://api.example.com&@evil.example/", Err(UrlError::UserInfo)),
    ("https://api.example.com:80;x@evil.example/", Err(UrlError::UserInfo)),
    ("https://api.example.com:443?@evil.example/", Ok("https://api.example.com/?@evil.example/")),
    ("https://api.example.com/@evil.example/", Ok("https://api.example.com/@evil.example/")),
    ("https://[::ffff:169.254.169.254]/", Ok("https://[::ffff:a9fe:a9fe]/")),
    ("https://[::ffff:0xa9.254.169.254]/", Err(UrlError::Host)),
    ("https://[::169.254.169.254]:8443/", Ok("https://[::a9fe:a9fe]:8443/")),
    ("https://[v1.fe80::a]/", Err(UrlError::Host)),
    ("https://[fe80::1%25]/", Err(UrlError::Host)),
    ("https://0x7f.1/", Err(UrlError::Ipv4Spelling)),
    ("https://017700000001/", Err(UrlError::Ipv4Spelling)),
    ("https://4294967296/", Err(UrlError::Host)),
    ("https://169.254.43518/", Err(UrlError::Ipv4Spelling)),
    ("https://0251.0376.0251.0376/", Err(UrlError::Ipv4Spelling)),
    ("https://127.0.0.1.nip.io/", Ok("https://127.0.0.1.nip.io/")),
    ("https://localhost/", Ok("https://localhost/")),
    ("https://api.example.com/v1/%2E/x", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/..%00/x", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/..%09/x", Err(UrlError::Encoding)),
    ("https://api.example.com/v1/%ef%bc%8f..", Ok("https://api.example.com/v1/%EF%BC%8F..")),
    ("https://api.example.com/v1/..%c2%a0/x", Err(UrlError::Segment)),
    ("https://api.example.com/v1/....//x", Err(UrlError::Segment)),
    ("https://api.example.com/v1;/../x", Ok("https://api.example.com/x")),
    ("https://api.example.com/?a=1#b", Err(UrlError::Fragment)),
    ("https://api.example.com/?a=%0", Err(UrlError::Encoding)),
    ("httpſ://api.example.com/", Err(UrlError::Scheme)),
    ("https://api.example.com:443 /", Err(UrlError::Character)),
    ("wss://api.example.com/", Err(UrlError::Scheme)),
    ("data://api.example.com/", Err(UrlError::Scheme)),
];

#[test]
fn every_hostile_url_has_its_expected_verdict() {
    let mut wrong = Vec::new();
    for (text, expected) in TABLE {
        let verdict = CanonicalUrl::parse(text);
        let verdict = verdict
            .as_ref()
            .map(CanonicalUrl::as_str)
            .map_err(|error| *error);
        if verdict != *expected {
            wrong.push(format!("{text:?}: {verdict:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(TABLE.len() >= 170, "{}", TABLE.len());
}

#[test]
fn a_url_tells_its_parts() {
    let url = CanonicalUrl::parse("https://API.example.com:8443/v1/x?a=1&b=2").unwrap();
    assert_eq!(url.scheme(), Scheme::Https);
    assert_eq!(url.host(), &Host::Domain("api.example.com".into()));
    assert_eq!(
        (url.port(), url.authority()),
        (8443, "api.example.com:8443")
    );
    assert_eq!((url.path(), url.query()), ("/v1/x", Some("a=1&b=2")));
    assert_eq!(url.path_and_query(), "/v1/x?a=1&b=2");
    assert_eq!(url.without_query(), "https://api.example.com:8443/v1/x");
    assert_eq!(
        format!("{url:?}"),
        "CanonicalUrl(https://api.example.com:8443/v1/x)"
    );
    let plain = CanonicalUrl::parse("http://[::1]").unwrap();
    assert_eq!(
        (plain.authority(), plain.port(), plain.query()),
        ("[::1]", 80, None)
    );
}

#[test]
fn the_longest_url_is_8_kib_before_and_after() {
    let longest = format!("https://h/{}", "a".repeat(URL_MAX - 10));
    assert!(CanonicalUrl::parse(&longest).is_ok());
    assert_eq!(
        CanonicalUrl::parse(&format!("{longest}a")),
        Err(UrlError::TooLong)
    );
    // The form is one slash longer than the text.
    let grows = format!("https://h?{}", "a".repeat(URL_MAX - 10));
    assert_eq!(
        (grows.len(), CanonicalUrl::parse(&grows)),
        (URL_MAX, Err(UrlError::TooLong))
    );
}

#[test]
fn the_dns_limits_hold() {
    let label = "a".repeat(63);
    let parse = |host: &str| CanonicalUrl::parse(&format!("https://{host}/"));
    assert!(parse(&format!("{label}.example")).is_ok());
    assert!(parse(&format!("a{label}.example")).is_err());
    let long = [label.as_str(); 4].join(".");
    assert!(parse(&long[..253]).is_ok());
    assert!(parse(&long[..254]).is_err());
}

/// Texts that are often URLs: pieces that matter, glued at random.
fn urlish() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "https://",
        "http://",
        "HTTPS://",
        "a.example",
        "A.Example",
        "127.0.0.1",
        "0x7f",
        "[::1]",
        "[::ffff:1.2.3.4]",
        "bücher",
        "xn--bcher-kva",
        ":",
        ":443",
        ":80",
        ":8443",
        "/",
        "//",
        "/.",
        "/..",
        ".",
        "..",
        ";",
        "?",
        "&",
        "=",
        "%",
        "%25",
        "%2e",
        "%2F",
        "%41",
        "%c3%a9",
        "%3b",
        "%20",
        "a",
        "v1",
        "~",
        "@",
        "#",
        "\\",
        " ",
        "é",
        "'",
        "{",
        "|",
        "+",
        "e",
        "2f",
    ]);
    let head = prop::sample::select(vec![
        "https://a.example",
        "http://127.0.0.1:8080",
        "https://[::1]/",
        "",
    ]);
    (head, prop::collection::vec(piece, 0..9))
        .prop_map(|(head, pieces)| format!("{head}{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_canonical_url_is_a_fixed_point(text in prop_oneof![urlish(), ".{0,40}", "https://[ -~]{0,40}"]) {
        if let Ok(url) = CanonicalUrl::parse(&text) {
            let again = CanonicalUrl::parse(url.as_str());
            prop_assert_eq!(again.as_ref().map(CanonicalUrl::as_str), Ok(url.as_str()));
            prop_assert_eq!(again, Ok(url.clone()));
            prop_assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#'));
            prop_assert!(url.path().starts_with('/') && !url.path().starts_with("//"));
            prop_assert!(!url.path().split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert!(!url.authority().contains(['@', '%', '/', '?']));
        }
    }

    /// However a server decodes, cuts parameters off, merges slashes and resolves
    /// dots: what it sees lies under the destination that covered the URL.
    #[test]
    fn no_reading_of_a_covered_path_leads_out(rest in prop::collection::vec(
        prop::sample::select(vec!["/", "..", ".", ";", "%2e", "%2f", "%5c", "%25", "%3b", "%20", "%3f", "x", "2e", "2f", " "]), 0..10,
    )) {
        let base = CanonicalUrl::parse("https://a.example/v1/").unwrap();
        if let Ok(url) = CanonicalUrl::parse(&format!("https://a.example/v1/{}", rest.concat())) && base.covers(&url) {
            let mut path = url.path().to_owned();
            for _ in 0..3 {
                let cut: Vec<&str> = path.split('/').map(|s| s.split([';', '?', '#']).next().unwrap().trim()).collect();
                let mut read: Vec<&str> = Vec::new();
                for segment in cut.iter().flat_map(|s| s.split('\\')).filter(|s| !s.is_empty()) {
                    match segment {
                        "." => {}
                        ".." => { read.pop(); }
                        name => read.push(name),
                    }
                }
                prop_assert_eq!(read.first(), Some(&"v1"), "{}", url.as_str());
                path = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
            }
        }
    }
}
