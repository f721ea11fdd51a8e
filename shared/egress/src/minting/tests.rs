use super::*;

fn mints(method: &str, url: &str) -> bool {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    mints_credentials(&CanonicalUrl::parse(url).unwrap(), &method)
}

#[test]
fn what_gives_out_credentials_is_told_apart() {
    for (method, url) in [
        ("POST", "https://sts.amazonaws.com/"),
        (
            "POST",
            "https://sts.amazonaws.com/?Action=GetCallerIdentity",
        ),
        ("POST", "https://sts.eu-west-1.amazonaws.com/"),
        ("POST", "https://sts-fips.us-east-1.amazonaws.com/"),
        ("POST", "https://sts.cn-north-1.amazonaws.com.cn/"),
        (
            "GET",
            "https://sts.amazonaws.com/?Action=AssumeRole&Version=2011-06-15",
        ),
        (
            "GET",
            "https://sts.amazonaws.com/?Version=2011-06-15&%41ction=Get%53essionToken",
        ),
        ("GET", "https://iam.amazonaws.com/?Action=CreateAccessKey"),
        (
            "GET",
            "https://iam.amazonaws.com/?Action=ListUsers&Action=CreateAccessKey",
        ),
        ("POST", "https://iam.amazonaws.com/"),
        (
            "GET",
            "https://portal.sso.eu-west-1.amazonaws.com/federation/credentials?role_name=x",
        ),
        ("POST", "https://oidc.eu-west-1.amazonaws.com/token"),
        (
            "POST",
            "https://acme.auth.eu-west-1.amazoncognito.com/oauth2/token",
        ),
        ("POST", "https://oauth2.googleapis.com/token"),
        ("POST", "https://OAuth2.GoogleAPIs.com:443/token/"),
        (
            "POST",
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a:generateAccessToken",
        ),
        (
            "POST",
            "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a@b/keys",
        ),
        (
            "POST",
            "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        ),
        (
            "POST",
            "https://login.microsoftonline.com/common/OAuth2/v2.0/Token",
        ),
        ("POST", "https://github.com/login/oauth/access_token"),
        (
            "POST",
            "https://api.github.com/app/installations/1/access_tokens",
        ),
        ("POST", "https://gitlab.com/api/v4/projects/1/access_tokens"),
        (
            "POST",
            "https://gitlab.com/api/v4/personal_access_tokens/self/rotate",
        ),
        ("POST", "https://api.stripe.com/v1/ephemeral_keys"),
        ("POST", "https://api.openai.com/v1/realtime/client_secrets"),
        ("GET", "https://slack.com/api/oauth.v2.access?code=x"),
        (
            "GET",
            "https://auth.docker.io/token?service=registry.docker.io",
        ),
        ("POST", "https://acme.eu.auth0.com/oauth/token"),
        ("POST", "https://acme.okta.com/oauth2/default/v1/token"),
        ("POST", "https://vault.example/v1/auth/token/create"),
        ("PUT", "https://vault.example/v1/auth/token/create/role"),
        ("POST", "https://10.0.0.1:8200/v1/auth/approle/login"),
    ] {
        assert!(mints(method, url), "{method} {url}");
    }
}

#[test]
fn what_is_beside_them_is_left_alone() {
    for (method, url) in [
        ("GET", "https://sts.amazonaws.com/?Action=GetCallerIdentity"),
        ("GET", "https://iam.amazonaws.com/?Action=ListUsers"),
        ("POST", "https://s3.eu-west-1.amazonaws.com/bucket"),
        ("POST", "https://sts.evil.eu-west-1.amazonaws.com/"),
        ("POST", "https://stsx.amazonaws.com/"),
        ("POST", "https://sts.amazonaws.com.evil.example/"),
        ("POST", "https://notokta.com/oauth2/v1/token"),
        ("GET", "https://oauth2.googleapis.com/token"),
        ("POST", "https://oauth2.googleapis.com/tokeninfo"),
        ("POST", "https://oauth2.googleapis.com/x/token"),
        (
            "POST",
            "https://login.microsoftonline.com/oauth2/v2.0/token",
        ),
        (
            "GET",
            "https://api.github.com/app/installations/1/access_tokens",
        ),
        ("POST", "https://api.github.com/repos/a/b/issues"),
        ("POST", "https://api.stripe.com/v1/charges"),
        ("POST", "https://api.openai.com/v1/responses"),
        ("GET", "https://vault.example/v1/auth/token/create"),
        ("POST", "https://api.example.com/v1/auth/token/refresh"),
        ("POST", "https://127.0.0.1/token"),
    ] {
        assert!(!mints(method, url), "{method} {url}");
    }
}

#[test]
fn every_line_of_the_table_is_of_a_form_that_can_match() {
    for (at, path) in TABLE.iter().chain(BY_GET) {
        assert!(path.starts_with('/') && !path.ends_with('/'), "{path}");
        let host = match at {
            At::Host(name) => (*name).to_owned(),
            At::Below(name) => format!("a.{name}"),
            At::Aws(service) => format!("{service}.eu-west-1.amazonaws.com"),
            At::Any => "any.example".to_owned(),
        };
        let url = format!(
            "https://{host}{}",
            path.replace("**", "x").replace('*', "y")
        );
        assert!(mints("POST", &url), "{url}");
    }
}

#[test]
fn every_line_of_the_table_is_documented() {
    let page = include_str!("../../../../docs/firewall.md");
    for (at, path) in TABLE.iter().chain(BY_GET) {
        let host = match at {
            At::Host(name) => format!("`{name}`"),
            At::Below(name) => format!("`*.{name}`"),
            At::Aws(service) => format!("AWS `{service}`"),
            At::Any => "any host".to_owned(),
        };
        let row = format!("| {host} | ");
        let line = page.lines().find(|line| line.starts_with(&row));
        assert!(
            line.is_some_and(|line| line.contains(&format!("`{path}`"))),
            "{host} {path}"
        );
    }
    for action in AWS_ACTIONS {
        assert!(page.contains(&format!("`{action}`")), "{action}");
    }
}
