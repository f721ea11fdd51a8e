//! A URL that is taken has one form, which is taken again as it is, and which leads
//! nowhere that it does not say.
//!
//! ```text
//! cargo +nightly fuzz run canonical_url -- -max_total_time=30
//! ```
#![no_main]

use egress::CanonicalUrl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(url) = CanonicalUrl::parse(text) else {
        return;
    };
    let again = CanonicalUrl::parse(url.as_str()).expect("its own form is taken");
    assert_eq!(again.as_str(), url.as_str());
    assert!(again == url);
    assert!(
        url.as_str()
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#')
    );
    assert!(url.path().starts_with('/') && !url.path().starts_with("//"));
    assert!(
        !url.path()
            .split('/')
            .any(|segment| matches!(segment, "." | ".."))
    );
    assert!(!url.authority().contains(['@', '%', '/', '?']));
    assert!(url.as_str().ends_with(url.path_and_query()));
});
