//! Whom a statement or a grant reaches: the broker's role, more than it, or
//! someone who was taken for it.

use super::{
    conditions::{CALLER, Holds, Own},
    statement::Statement,
};

/// How a statement reaches the broker's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// By its name.
    Role,
    /// By its account: every role there.
    Account,
    /// As one of everyone.
    Everyone,
    /// Not at all.
    Elsewhere,
}

/// Someone who is named where the broker's role was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stranger {
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

const SESSION: Stranger = Stranger {
    code: "principal_session",
    message: "The principal is one session of a role, which ends; name the role itself.",
};
const USER: Stranger = Stranger {
    code: "principal_user",
    message: "The principal is a user; the broker works as a role. Name the role.",
};
const DELETED: Stranger = Stranger {
    code: "principal_deleted",
    message: "The principal is the id of a role or user that was deleted since: a role made anew \
              under the old name is another. Name the broker's role again.",
};
const OTHER: Stranger = Stranger {
    code: "wrong_role",
    message: "The principal is not the broker's role: whoever it is would be let in, and the \
              broker is not. Name the broker's role.",
};

/// Whom a statement reaches. A Deny by `NotPrincipal` spares a role only where it
/// lists both the role and its account (IAM User Guide, "NotPrincipal with Deny").
pub(super) fn reach(statement: &Statement, own: &Own<'_>) -> Reach {
    let names = &statement.principals.aws;
    let role = names.iter().any(|name| name == own.role);
    let account = names.iter().any(|name| is_account(name, own));
    let everyone = names.iter().any(|name| name == "*");
    if statement.not_principals {
        return match everyone || (role && account) {
            true => Reach::Elsewhere,
            false => Reach::Everyone,
        };
    }
    match (everyone, role, account) {
        (true, ..) => narrowed(statement, own),
        (_, true, _) => Reach::Role,
        (_, _, true) => Reach::Account,
        _ => Reach::Elsewhere,
    }
}

/// Everyone, less what conditions on the caller take away.
fn narrowed(statement: &Statement, own: &Own<'_>) -> Reach {
    let mut reach = Reach::Everyone;
    for condition in &statement.conditions {
        if !CALLER.contains(&condition.key.as_str()) {
            continue;
        }
        // No action's own facts are asked for: who calls is the same in all of them.
        if condition.holds(own, "") == Holds::No {
            return Reach::Elsewhere;
        }
        match condition.key.as_str() {
            "aws:principalarn" if condition.pins(own.role) => return Reach::Role,
            "kms:calleraccount" | "aws:principalaccount" if condition.pins(own.account) => {
                reach = Reach::Account;
            }
            _ => {}
        }
    }
    reach
}

/// Whether a name stands for the whole account of the broker.
pub(super) fn is_account(name: &str, own: &Own<'_>) -> bool {
    name == own.account
        || name
            .strip_suffix(":root")
            .and_then(|arn| arn.rsplit_once("::"))
            .is_some_and(|(iam, account)| {
                iam.starts_with("arn:") && iam.ends_with(":iam") && account == own.account
            })
}

/// What is wrong with a principal that is neither the broker's role nor its account
/// nor everyone. `meant`: the statement is plainly for the broker. Without that
/// only what looks like the broker's role is told of: the customer's own people
/// are nobody's business here.
pub(super) fn stranger(name: &str, meant: bool, own: &Own<'_>) -> Option<Stranger> {
    if name == own.role || name == "*" || is_account(name, own) {
        return None;
    }
    let is_id = |prefix: &str| name.starts_with(prefix) && !name.contains(':');
    if is_id("AROA") || is_id("AIDA") {
        return meant.then_some(DELETED);
    }
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    let (account, resource) = match parts[..] {
        [_, _, _, _, account, resource] => (account, resource),
        _ => (name, ""),
    };
    let at_home = account == own.account;
    let role_name = own.role.rsplit('/').next().unwrap_or_default();
    let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
    match kind {
        "assumed-role" => {
            let same = rest.split('/').next() == Some(role_name);
            (meant || (at_home && same)).then_some(SESSION)
        }
        "user" => (meant || at_home).then_some(USER),
        "role" => {
            let same = rest.rsplit('/').next() == Some(role_name);
            (meant || at_home || same).then_some(OTHER)
        }
        _ => meant.then_some(OTHER),
    }
}

/// Whether a statement is plainly for a broker: by its name, or by the context it asks for.
pub(super) fn is_meant(statement: &Statement) -> bool {
    let sid = statement.sid.to_ascii_lowercase();
    sid.starts_with("byok")
        || statement.conditions.iter().any(|condition| {
            condition
                .pair()
                .is_some_and(|pair| pair.to_ascii_lowercase().starts_with("byok:"))
        })
}

impl Stranger {
    /// A principal that is no AWS principal at all.
    pub(super) const SERVICE: Self = OTHER;
}
