//! Which headers are the connection's or the broker's own, and so never pass.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, header::CONNECTION};

// As lenient as whoever reads the token may be.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Whether a header of this name may pass from the caller to the upstream, or be
/// the slot of a secret.
pub(crate) fn may_pass(name: &HeaderName) -> bool {
    const REFUSED: [&str; 7] = [
        "accept-encoding",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "via",
    ];
    // What some servers take for the path, the method or the host of the request: the policy
    // judged another. (A `_method` in the query or the body cannot be told from data.)
    const REWRITES: [&str; 9] = [
        "front-end-https",
        "x-host",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
        "x-rewrite-url",
    ];
    // What gateways put in on the way here tells the upstream about the broker, not about the caller.
    const PREFIXES: [&str; 5] = ["byok-", "proxy-", "x-amz-cf-", "x-amzn-", "x-forwarded-"];
    // Servers with a CGI past read `x_forwarded_for` as `x-forwarded-for`.
    let name = &*name.as_str().replace('_', "-");
    !is_hop_by_hop(name)
        && !REFUSED.contains(&name)
        && !REWRITES.contains(&name)
        && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a header asks for a part of an answer: Range (RFC 9110, section 14), and
/// what stores have beside it.
pub(crate) fn asks_for_part(name: &HeaderName) -> bool {
    matches!(
        &*name.as_str().replace('_', "-"),
        "range" | "if-range" | "request-range" | "x-ms-range"
    )
}

/// Whether a header is the broker's to set: an upstream must not speak in its name.
pub(crate) fn is_brokers(name: &HeaderName) -> bool {
    name.as_str().replace('_', "-").starts_with("byok-")
}

/// Whether a server may take two names for one: underscores and hyphens are the
/// same to CGI (RFC 3875, section 4.1.18).
pub(crate) fn same(one: &HeaderName, other: &HeaderName) -> bool {
    let plain = |b: u8| if b == b'_' { b'-' } else { b };
    one.as_str()
        .bytes()
        .map(plain)
        .eq(other.as_str().bytes().map(plain))
}

/// Removes what concerns one connection only: the fixed names, and those that
/// `Connection` names (RFC 9110, section 7.6.1).
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    remove_where(headers, |name| {
        is_hop_by_hop(&name.as_str().replace('_', "-")) || named.contains(name)
    });
}

/// Removes every header whose name the judge picks.
pub(crate) fn remove_where(headers: &mut HeaderMap, picks: impl Fn(&HeaderName) -> bool) {
    let picked: Vec<HeaderName> = headers.keys().filter(|name| picks(name)).cloned().collect();
    for name in picked {
        headers.remove(name);
    }
}

/// Whether a header's value carries a broker token: anywhere in its text, or in
/// what stands base64-encoded in it, as in Basic.
pub(crate) fn carries_token(value: &[u8]) -> bool {
    has_token(value)
        || value.split(|b| b.is_ascii_whitespace()).any(|word| {
            [STANDARD, URL_SAFE]
                .iter()
                .any(|b64| b64.decode(word).is_ok_and(|text| has_token(&text)))
        })
}

/// `byok_<workspace>_<43 base64url characters>` anywhere in a text. The workspace
/// has no underscore, so each token is found from its own beginning.
fn has_token(text: &[u8]) -> bool {
    const MARK: &[u8] = b"byok_";
    text.windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .any(|(at, _)| {
            let rest = &text[at + MARK.len()..];
            let workspace = rest
                .iter()
                .take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || **b == b'-')
                .count();
            let token = &rest[workspace..];
            workspace >= 1
                && token.first() == Some(&b'_')
                && token.len() >= 44
                && token[1..44]
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_token_is_found_wherever_a_header_can_carry_one() {
        let token = format!("byok_acme-1_{}", "aZ09-_x".repeat(7).split_at(43).0);
        let basic = STANDARD.encode(format!("user:{token}"));
        for value in [
            token.clone(),
            format!("Bearer {token}"),
            format!("session={token}; a=b"),
            format!("Basic {basic}"),
            format!("basic {}", basic.trim_end_matches('=')),
            format!("byok_byok_{token}"),
        ] {
            assert!(carries_token(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn what_is_no_token_is_left_alone() {
        for value in [
            "",
            "byok_",
            "byok_acme_short",
            "Bearer sk_live_1234",
            "Basic dXNlcjpwYXNz",
            "byok__x",
        ] {
            assert!(!carries_token(value.as_bytes()), "{value}");
        }
    }
}
