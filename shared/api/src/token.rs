//! Tokens: `byok_<workspace>_<43 base64url characters>`, 256 random bits.

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use envelope::{SecretBytes, WorkspaceId};
use http::{HeaderMap, header::AUTHORIZATION};
use store::TokenId;

const PREFIX: &str = "byok_";
/// 32 bytes in base64url without padding.
const RANDOM: usize = 43;

/// A token as its bearer presents it. Only its SHA-256 is ever stored.
pub struct Token {
    text: SecretBytes,
    workspace: WorkspaceId,
}

impl Token {
    /// Makes a token of a workspace from 256 bits of the operating system's randomness.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn generate(workspace: &WorkspaceId) -> Self {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system gives randomness");
        let text = format!(
            "{PREFIX}{workspace}_{}",
            BASE64_URL_SAFE_NO_PAD.encode(random)
        );
        Self {
            text: SecretBytes::new(text.into_bytes()),
            workspace: workspace.clone(),
        }
    }

    /// Takes untrusted text, split at its last 43 characters. Whether such a
    /// token was ever given out is another question.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (workspace, random) = rest.split_at_checked(rest.len().checked_sub(RANDOM)?)?;
        let workspace = WorkspaceId::parse(workspace.strip_suffix('_')?).ok()?;
        BASE64_URL_SAFE_NO_PAD
            .decode(random)
            .ok()
            .filter(|bytes| bytes.len() == 32)?;
        Some(Self {
            text: SecretBytes::new(text.as_bytes().to_vec()),
            workspace,
        })
    }

    /// Finds the token in a request, wherever the key that it stands for would
    /// have gone: `Authorization: Bearer`, the password of Basic (RFC 7617; or
    /// its user, where the password is empty), the access key id of AWS Signature
    /// Version 4 (whose signature says nothing here), or `x-api-key`. Two different
    /// tokens in one request are none.
    #[must_use]
    pub fn of_request(headers: &HeaderMap) -> Option<Self> {
        let authorizations = headers
            .get_all(AUTHORIZATION)
            .iter()
            .filter_map(|value| authorization(value.to_str().ok()?));
        let keys = headers
            .get_all("x-api-key")
            .iter()
            .filter_map(|value| Self::parse(value.to_str().ok()?));
        let mut found = authorizations.chain(keys);
        let token = found.next()?;
        // EXPOSE: both are the caller's own words; the comparison tells only them.
        found
            .all(|other| other.text.expose_secret() == token.text.expose_secret())
            .then_some(token)
    }

    /// The workspace that the token claims to be of.
    #[must_use]
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The id under which it is kept: its SHA-256.
    #[must_use]
    pub fn id(&self) -> TokenId {
        // EXPOSE: hashed, in place.
        TokenId::of_token(self.text.expose_secret())
    }

    /// The token itself, to key the fingerprint of a request.
    #[must_use]
    pub fn text(&self) -> &SecretBytes {
        &self.text
    }

    /// The token as text, for the one answer that tells it to whoever had it made.
    #[must_use]
    pub fn tell(&self) -> String {
        // EXPOSE: it is theirs, and told once.
        String::from_utf8_lossy(self.text.expose_secret()).into_owned()
    }
}

fn authorization(value: &str) -> Option<Token> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Token::parse(rest);
    }
    if scheme == "AWS4-HMAC-SHA256" {
        return access_key_id(rest).and_then(Token::parse);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = SecretBytes::new(BASE64_STANDARD.decode(rest).ok()?);
    // EXPOSE: the caller's own token, taken out of Basic.
    let (user, password) = std::str::from_utf8(pair.expose_secret())
        .ok()?
        .split_once(':')?;
    Token::parse(if password.is_empty() { user } else { password })
}

/// `Credential=<id>/<date>/<region>/<service>/aws4_request, SignedHeaders=…, Signature=…`
/// (AWS IAM User Guide, "Elements of an AWS API request signature").
fn access_key_id(parameters: &str) -> Option<&str> {
    let mut credentials = parameters
        .split(',')
        .filter_map(|one| one.trim().strip_prefix("Credential="));
    let (id, _scope) = credentials.next()?.split_once('/')?;
    credentials.next().is_none().then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_token_is_found_wherever_a_key_would_have_gone() {
        let token = Token::generate(&WorkspaceId::parse("acme").unwrap());
        let text = token.tell();
        let basic = |pair: String| format!("Basic {}", BASE64_STANDARD.encode(pair));
        for pairs in [
            vec![("authorization", format!("Bearer {text}"))],
            vec![("authorization", format!("bearer  {text}"))],
            vec![("authorization", basic(format!("user:{text}")))],
            vec![("authorization", basic(format!("{text}:")))],
            vec![("x-api-key", text.clone())],
            vec![("authorization", signed(&text))],
            vec![(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 SignedHeaders=host,Credential={text}/20260101/eu-west-1/s3/aws4_request,Signature=0"
                ),
            )],
            vec![
                ("authorization", signed(&text)),
                ("x-api-key", text.clone()),
            ],
            vec![
                ("authorization", "AWS4-HMAC-SHA256 Credential=x".to_owned()),
                ("x-api-key", text.clone()),
            ],
            vec![
                ("authorization", format!("Bearer {text}")),
                ("x-api-key", text.clone()),
            ],
        ] {
            assert!(
                Token::of_request(&headers(&pairs)).is_some_and(|found| found.id() == token.id()),
                "{pairs:?}"
            );
        }
    }

    fn signed(id: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
        )
    }

    #[test]
    fn a_signature_without_exactly_one_token_as_its_access_key_has_none() {
        let text = Token::generate(&WorkspaceId::parse("acme").unwrap()).tell();
        let good = signed(&text);
        for value in [
            signed("AKIDEXAMPLE"),
            signed(""),
            signed(&text[1..]),
            signed(&format!("{text}A")),
            good.replace("/20260101/eu-west-1/s3/aws4_request", ""),
            good.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            good.replace("Credential", "NoCredential"),
            format!("{good}, Credential={text}/x"),
            format!("{}, Credential={text}/x", signed("AKIDEXAMPLE")),
        ] {
            let pairs = [("authorization", value)];
            assert!(Token::of_request(&headers(&pairs)).is_none(), "{pairs:?}");
        }
    }

    #[test]
    fn two_tokens_in_one_request_are_none() {
        let workspace = WorkspaceId::parse("acme").unwrap();
        let text = || Token::generate(&workspace).tell();
        let pairs = [
            ("authorization", format!("Bearer {}", text())),
            ("x-api-key", text()),
        ];
        assert!(Token::of_request(&headers(&pairs)).is_none());
    }

    #[test]
    fn a_malformed_token_is_none() {
        let good = "byok_acme_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(Token::parse(good).is_some());
        for text in [
            "",
            "byok_",
            "byok_acme_",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}A"),
            &good.replace("acme", "ACME"),
            &good.replace("acme_", "acme"),
            &good.replace("AAA", "A+A"),
            &good.replace("AAAA", "AAé"),
        ] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }
}
