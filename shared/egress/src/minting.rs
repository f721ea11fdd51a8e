//! Endpoints that give out new credentials.
//!
//! A secret may be allowed to a whole host, and that host may have one path at
//! which it buys another secret: a token, an access key. What such a path answers
//! is no form of the secret, so the scrubber passes it, and whoever asked holds a
//! credential of his own. So these are told apart, to be refused unless a policy
//! names them.

use crate::{CanonicalUrl, Host};
use http::Method;

/// Which hosts.
enum At {
    /// This one.
    Host(&'static str),
    /// Those below this one, at any depth.
    Below(&'static str),
    /// Those of a service at AWS: its global endpoint, a Region's, FIPS and dual-stack ones.
    Aws(&'static str),
    /// Any: the path is a protocol's own.
    Any,
}

/// Which paths below a host: segments, where `*` is any one and `**` any that follow.
type Path = &'static str;

/// For every method that changes something.
const TABLE: &[(At, Path)] = &[
    // AWS; STS and IAM are judged by `is_aws_action`.
    (At::Aws("portal.sso"), "/federation/credentials"),
    (At::Aws("oidc"), "/token"),
    (At::Aws("cognito-identity"), "/**"),
    (At::Aws("cognito-idp"), "/**"),
    (At::Aws("ecr"), "/**"),
    (At::Aws("api.ecr"), "/**"),
    (At::Below("amazoncognito.com"), "/oauth2/token"),
    // Google.
    (At::Host("oauth2.googleapis.com"), "/token"),
    (At::Host("accounts.google.com"), "/o/oauth2/token"),
    (At::Host("accounts.google.com"), "/o/oauth2/v2/token"),
    (At::Host("www.googleapis.com"), "/oauth2/v3/token"),
    (At::Host("www.googleapis.com"), "/oauth2/v4/token"),
    (At::Host("sts.googleapis.com"), "/v1/token"),
    (At::Host("iamcredentials.googleapis.com"), "/**"),
    (
        At::Host("iam.googleapis.com"),
        "/v1/projects/*/serviceAccounts/*/keys",
    ),
    (
        At::Host("apikeys.googleapis.com"),
        "/v2/projects/*/locations/*/keys",
    ),
    (At::Host("identitytoolkit.googleapis.com"), "/**"),
    (At::Host("securetoken.googleapis.com"), "/v1/token"),
    // Microsoft.
    (At::Host("login.microsoftonline.com"), "/*/oauth2/token"),
    (
        At::Host("login.microsoftonline.com"),
        "/*/oauth2/v2.0/token",
    ),
    (At::Host("login.microsoftonline.us"), "/*/oauth2/v2.0/token"),
    (
        At::Host("login.partner.microsoftonline.cn"),
        "/*/oauth2/v2.0/token",
    ),
    (At::Host("login.windows.net"), "/*/oauth2/token"),
    (At::Host("login.live.com"), "/oauth20_token.srf"),
    (
        At::Host("graph.microsoft.com"),
        "/*/applications/*/addPassword",
    ),
    (
        At::Host("graph.microsoft.com"),
        "/*/servicePrincipals/*/addPassword",
    ),
    (At::Below("azurecr.io"), "/oauth2/**"),
    // Source hosts.
    (At::Host("github.com"), "/login/oauth/access_token"),
    (
        At::Host("api.github.com"),
        "/app/installations/*/access_tokens",
    ),
    (At::Host("api.github.com"), "/app-manifests/*/conversions"),
    (At::Host("api.github.com"), "/applications/*/token/scoped"),
    (
        At::Host("api.github.com"),
        "/repos/*/*/actions/runners/registration-token",
    ),
    (
        At::Host("api.github.com"),
        "/orgs/*/actions/runners/registration-token",
    ),
    (At::Host("api.github.com"), "/repos/*/*/keys"),
    (At::Host("api.github.com"), "/user/keys"),
    (At::Host("gitlab.com"), "/oauth/token"),
    (At::Host("gitlab.com"), "/api/v4/personal_access_tokens/**"),
    (
        At::Host("gitlab.com"),
        "/api/v4/projects/*/access_tokens/**",
    ),
    (At::Host("gitlab.com"), "/api/v4/groups/*/access_tokens/**"),
    (At::Host("gitlab.com"), "/api/v4/projects/*/deploy_tokens"),
    (
        At::Host("gitlab.com"),
        "/api/v4/users/*/personal_access_tokens",
    ),
    (At::Host("bitbucket.org"), "/site/oauth2/access_token"),
    (At::Host("registry.npmjs.org"), "/-/npm/v1/tokens"),
    (At::Host("registry.npmjs.org"), "/-/user/**"),
    // Others.
    (At::Host("api.stripe.com"), "/v1/ephemeral_keys"),
    (At::Host("connect.stripe.com"), "/oauth/token"),
    (At::Host("api.openai.com"), "/v1/realtime/sessions"),
    (At::Host("api.openai.com"), "/v1/realtime/client_secrets"),
    (
        At::Host("api.openai.com"),
        "/v1/organization/admin_api_keys",
    ),
    (
        At::Host("api.openai.com"),
        "/v1/organization/projects/*/service_accounts",
    ),
    (
        At::Host("api.twilio.com"),
        "/2010-04-01/Accounts/*/Keys.json",
    ),
    (
        At::Host("api.twilio.com"),
        "/2010-04-01/Accounts/*/Tokens.json",
    ),
    (At::Host("iam.twilio.com"), "/v1/Keys"),
    (At::Host("api.sendgrid.com"), "/v3/api_keys"),
    (At::Host("api.cloudflare.com"), "/client/v4/user/tokens"),
    (
        At::Host("api.cloudflare.com"),
        "/client/v4/accounts/*/tokens",
    ),
    (
        At::Host("api.cloudflare.com"),
        "/client/v4/accounts/*/r2/temp-access-credentials",
    ),
    (At::Host("api.heroku.com"), "/oauth/**"),
    (At::Host("id.heroku.com"), "/oauth/token"),
    (At::Host("api.digitalocean.com"), "/v2/spaces/keys"),
    (At::Host("cloud.digitalocean.com"), "/v1/oauth/token"),
    (At::Host("slack.com"), "/api/oauth.access"),
    (At::Host("slack.com"), "/api/oauth.v2.access"),
    (At::Host("slack.com"), "/api/tooling.tokens.rotate"),
    (At::Host("api.dropboxapi.com"), "/oauth2/token"),
    (At::Host("api.notion.com"), "/v1/oauth/token"),
    (At::Host("discord.com"), "/api/oauth2/token"),
    (At::Host("discord.com"), "/api/*/oauth2/token"),
    (At::Host("login.salesforce.com"), "/services/oauth2/token"),
    (At::Host("test.salesforce.com"), "/services/oauth2/token"),
    (At::Below("my.salesforce.com"), "/services/oauth2/token"),
    (At::Host("auth.atlassian.com"), "/oauth/token"),
    (At::Below("auth0.com"), "/oauth/token"),
    (At::Below("okta.com"), "/oauth2/v1/token"),
    (At::Below("okta.com"), "/oauth2/*/v1/token"),
    (At::Below("okta.com"), "/api/v1/api-tokens"),
    (At::Host("api-m.paypal.com"), "/v1/oauth2/token"),
    (At::Host("api-m.sandbox.paypal.com"), "/v1/oauth2/token"),
    (At::Host("hub.docker.com"), "/v2/access-tokens"),
    (At::Host("hub.docker.com"), "/v2/users/login"),
    (At::Host("auth.docker.io"), "/token"),
    // Vault and OpenBao, wherever they stand: tokens, and leases of cloud credentials.
    (At::Any, "/v1/auth/token/create/**"),
    (At::Any, "/v1/auth/*/login/**"),
];

/// AWS's actions that give out credentials, where a query names them.
const AWS_ACTIONS: [&str; 10] = [
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "AssumeRoot",
    "GetFederationToken",
    "GetSessionToken",
    "CreateAccessKey",
    "CreateLoginProfile",
    "CreateServiceSpecificCredential",
    "ResetServiceSpecificCredential",
];

/// Endpoints that give a credential for a plain GET.
const BY_GET: &[(At, Path)] = &[
    (At::Aws("portal.sso"), "/federation/credentials"),
    (At::Host("auth.docker.io"), "/token"),
    (At::Host("slack.com"), "/api/oauth.access"),
    (At::Host("slack.com"), "/api/oauth.v2.access"),
    (At::Host("slack.com"), "/api/tooling.tokens.rotate"),
];

/// Whether a request asks an upstream for a new credential, as far as its method
/// and URL tell. A list of what is known, and no proof that the rest does not.
#[must_use]
pub fn mints_credentials(url: &CanonicalUrl, method: &Method) -> bool {
    mints_at(url, url.path(), method)
}

/// The same with another path in the URL: the one that goes out.
pub(crate) fn mints_at(url: &CanonicalUrl, path: &str, method: &Method) -> bool {
    let host = match url.host() {
        Host::Domain(host) => host.as_str(),
        // No name that the table has; what any host may have is there as well.
        Host::Ip(_) => "",
    };
    if is_aws_action(host, url, method) {
        return true;
    }
    if changes(method) {
        is_in(TABLE, host, path)
    } else {
        *method == Method::GET && is_in(BY_GET, host, path)
    }
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// STS and IAM take the action in the query with a GET. With any other method the
/// body may name it, which is not looked into: that counts as the worst.
fn is_aws_action(host: &str, url: &CanonicalUrl, method: &Method) -> bool {
    if !["sts", "iam"].iter().any(|service| is_aws(host, service)) {
        return false;
    }
    changes(method)
        || url
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| percent(name).eq_ignore_ascii_case("Action"))
            .any(|(_, action)| AWS_ACTIONS.contains(&percent(action).as_str()))
}

fn percent(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn is_in(table: &[(At, Path)], host: &str, path: &str) -> bool {
    table.iter().any(|(at, pattern)| {
        let is_there = match at {
            At::Host(name) => host == *name,
            At::Below(name) => host
                .strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.')),
            At::Aws(service) => is_aws(host, service),
            At::Any => true,
        };
        is_there && matches(pattern, path)
    })
}

/// `sts.amazonaws.com`, `sts.eu-west-1.amazonaws.com`, `sts-fips.…`, `….api.aws`, and
/// China's `….amazonaws.com.cn`.
fn is_aws(host: &str, service: &str) -> bool {
    let suffixes = ["amazonaws.com", "amazonaws.com.cn", "api.aws"];
    let Some(rest) = suffixes
        .iter()
        .find_map(|suffix| host.strip_suffix(suffix)?.strip_suffix('.'))
    else {
        return false;
    };
    rest.strip_prefix(service).is_some_and(|rest| {
        let rest = rest.strip_prefix("-fips").unwrap_or(rest);
        rest.is_empty() || (rest.starts_with('.') && !rest[1..].contains('.'))
    })
}

/// Segment by segment, letter case ignored as many servers do, and a last slash.
fn matches(pattern: Path, path: &str) -> bool {
    let mut segments = path.trim_end_matches('/').split('/');
    let mut wanted = pattern.trim_end_matches('/').split('/');
    loop {
        match (wanted.next(), segments.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(is)) if !is.is_empty() => {}
            (Some(wanted), Some(is)) if wanted.eq_ignore_ascii_case(is) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
