//! Who calls: a configured principal, told apart by its access key id, and what
//! its ARN means to policies and grants.

use crate::policy::Document;
use crate::{OpenError, Principal};
use serde_json::{Value, json};

/// The name of the role session that a role principal works under here.
const SESSION: &str = "local";

/// A principal, its ARN taken apart and its identity policy parsed.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) access_key_id: String,
    pub(crate) account: String,
    pub(crate) kind: Kind,
    pub(crate) identity: Option<Document>,
}

/// What the ARN names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Root,
    User {
        arn: String,
        name: String,
    },
    /// A role, and the session under which its credentials work.
    Role {
        arn: String,
        name: String,
        session: String,
    },
}

impl Caller {
    pub(crate) fn parse(principal: &Principal) -> Result<Self, OpenError> {
        let refuse = |reason: String| OpenError::Principal {
            arn: principal.arn.clone(),
            reason,
        };
        let (account, kind) = parse_arn(&principal.arn).ok_or_else(|| {
            refuse("not the ARN of a role, a user, a role session or an account's root".into())
        })?;
        let identity = match &principal.identity_policy {
            None => None,
            Some(policy) => Some(Document::identity_policy(policy).map_err(refuse)?),
        };
        Ok(Self {
            access_key_id: principal.access_key_id.clone(),
            account,
            kind,
            identity,
        })
    }

    /// The ARN that GetCallerIdentity and error messages show: a role's is its session's.
    pub(crate) fn arn(&self) -> String {
        match &self.kind {
            Kind::Root => format!("arn:aws:iam::{}:root", self.account),
            Kind::User { arn, .. } => arn.clone(),
            Kind::Role { name, session, .. } => {
                format!(
                    "arn:aws:sts::{}:assumed-role/{name}/{session}",
                    self.account
                )
            }
        }
    }

    /// `aws:PrincipalArn`: a role's own ARN, not its session's.
    pub(crate) fn principal_arn(&self) -> String {
        match &self.kind {
            Kind::Role { arn, .. } => arn.clone(),
            _ => self.arn(),
        }
    }

    /// Whether `arn` names this caller itself (not merely its account).
    pub(crate) fn is_named_by(&self, arn: &str) -> bool {
        arn == self.arn() || arn == self.principal_arn()
    }

    /// Whether `name` is this caller's account: the bare id or its root's ARN.
    pub(crate) fn account_is_named_by(&self, name: &str) -> bool {
        name == self.account
            || name
                .strip_prefix("arn:aws:iam::")
                .and_then(|rest| rest.strip_suffix(":root"))
                == Some(self.account.as_str())
    }

    pub(crate) fn user_id(&self) -> String {
        match &self.kind {
            Kind::Root => self.account.clone(),
            Kind::User { name, .. } => format!("AIDA{}", id_tail(name)),
            Kind::Role { name, session, .. } => format!("AROA{}:{session}", id_tail(name)),
        }
    }

    /// CloudTrail's `userIdentity`.
    pub(crate) fn user_identity(&self) -> Value {
        let mut identity = json!({
            "type": match self.kind {
                Kind::Root => "Root",
                Kind::User { .. } => "IAMUser",
                Kind::Role { .. } => "AssumedRole",
            },
            "principalId": self.user_id(),
            "arn": self.arn(),
            "accountId": self.account,
            "accessKeyId": self.access_key_id,
        });
        match &self.kind {
            Kind::Root => {}
            Kind::User { name, .. } => identity["userName"] = json!(name),
            Kind::Role { arn, name, .. } => {
                identity["sessionContext"] = json!({"sessionIssuer": {
                    "type": "Role",
                    "principalId": format!("AROA{}", id_tail(name)),
                    "arn": arn,
                    "accountId": self.account,
                    "userName": name,
                }});
            }
        }
        identity
    }
}

/// AWS's unique ids cannot be had here; the name stands in for them, stable over runs.
fn id_tail(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_uppercase()
}

/// The account and the kind that a principal's ARN names.
pub(crate) fn parse_arn(arn: &str) -> Option<(String, Kind)> {
    let mut parts = arn.splitn(6, ':');
    let (scheme, _partition) = (parts.next()?, parts.next().filter(|p| *p == "aws")?);
    let (service, region) = (parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    if scheme != "arn" || !region.is_empty() || !is_account(account) {
        return None;
    }
    let last = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let kind = match (service, resource.split_once('/')) {
        ("iam", None) if resource == "root" => Kind::Root,
        ("iam", Some(("user", path))) if !path.ends_with('/') => Kind::User {
            arn: arn.to_owned(),
            name: last(path)?,
        },
        ("iam", Some(("role", path))) if !path.ends_with('/') => Kind::Role {
            arn: arn.to_owned(),
            name: last(path)?,
            session: SESSION.to_owned(),
        },
        ("sts", Some(("assumed-role", path))) => {
            let (name, session) = path.split_once('/')?;
            Kind::Role {
                arn: format!("arn:aws:iam::{account}:role/{name}"),
                name: name.to_owned(),
                session: session.to_owned(),
            }
        }
        _ => return None,
    };
    let empty = match &kind {
        Kind::Root => false,
        Kind::User { name, .. } => name.is_empty(),
        Kind::Role { name, session, .. } => name.is_empty() || session.is_empty(),
    };
    (!empty).then(|| (account.to_owned(), kind))
}

/// Twelve digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}
