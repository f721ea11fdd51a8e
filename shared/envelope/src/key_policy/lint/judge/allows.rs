//! What statements allow: to whom, what, on which key, and under which fence.

use super::{Judge, Read, told};
use crate::Job;
use crate::key_policy::lint::{
    Severity,
    actions::{self, Kind, like},
    conditions::Holds,
    fence::{self, Fence, Pinned},
    statement::Statement,
    whom::{self, Reach, Stranger},
};
use serde_json::Value;

impl Judge<'_> {
    pub(super) fn allows(&mut self, statements: &[Read]) {
        let pins = self.pins(statements);
        // Actions that some statement allows under a whole fence, and each statement that does without.
        let mut fenced: Vec<&'static str> = Vec::new();
        let mut unfenced: Vec<(&str, Vec<&'static str>)> = Vec::new();
        for read in statements.iter().filter(|read| !read.statement.deny) {
            let Read {
                at,
                reach,
                statement,
            } = read;
            self.strangers(at, statement);
            if statement.not_principals {
                self.refused = true;
                self.find(
                    Severity::Error,
                    "not_principal",
                    at,
                    "NotPrincipal with Allow lets in everyone else; AWS does not support it. Name \
                     the broker's role.",
                    self.policy.statements(),
                );
                continue;
            }
            if *reach == Reach::Elsewhere {
                continue;
            }
            if *reach == Reach::Everyone && of_organization(statement) {
                self.find(
                    Severity::Warning,
                    "organization_fence",
                    at,
                    "Everyone of an organization is let in. If the broker is of it, so is every \
                     workspace; if not, this statement is not about the broker.",
                    Vec::new(),
                );
                continue;
            }
            let covered = statement.covered();
            let mend = self.mend(&covered);
            self.whom(at, *reach, &mend);
            self.what(at, statement, &covered, &mend);
            let here = self.resource(at, statement);
            for remark in fence::beside(&statement.conditions, &self.own) {
                self.find(
                    remark.severity,
                    remark.code,
                    at,
                    remark.message,
                    mend.clone(),
                );
            }
            let with_context: Vec<&'static str> = covered
                .iter()
                .copied()
                .filter(|action| actions::has_context(action))
                .collect();
            if !with_context.is_empty() {
                let fence = Fence::of(
                    &statement.conditions,
                    &self.own,
                    pinned_for(&pins, &with_context),
                );
                self.refused |= fence.refused;
                self.opens |= !fence.closed && here;
                for remark in fence.remarks {
                    self.find(
                        remark.severity,
                        remark.code,
                        at,
                        remark.message,
                        mend.clone(),
                    );
                }
                match fence.closed {
                    true => fenced.extend(&with_context),
                    false => unfenced.push((at, with_context)),
                }
            }
            let met: Vec<&'static str> = covered
                .iter()
                .copied()
                .filter(|action| here && self.meets(statement, action))
                .collect();
            if covered.contains(&"DescribeKey")
                && !met.contains(&"DescribeKey")
                && met.iter().any(|action| actions::has_context(action))
            {
                self.find(
                    Severity::Warning,
                    "describe_key_fenced",
                    at,
                    "No encryption context goes with DescribeKey, so that a condition on one \
                     refuses it. Give it a statement of its own.",
                    vec![self.policy.statement(Job::Watch)],
                );
            }
            self.by_policy.extend(met);
        }
        for (at, without) in unfenced {
            let both = told(without.iter().filter(|action| fenced.contains(action)));
            if !both.is_empty() {
                let message = format!(
                    "It opens what another statement fences: {both}. Statements add up, and the \
                     widest one counts."
                );
                self.find(
                    Severity::Error,
                    "opens_what_another_fences",
                    at,
                    message,
                    Vec::new(),
                );
            }
        }
    }

    fn strangers(&mut self, at: &str, statement: &Statement) {
        if statement.not_principals {
            return;
        }
        let meant = whom::is_meant(statement);
        let mut found: Vec<Stranger> = statement
            .principals
            .aws
            .iter()
            .filter_map(|name| whom::stranger(name, meant, &self.own))
            .collect();
        if meant && statement.principals.others {
            found.push(Stranger::SERVICE);
        }
        let mut told: Vec<&str> = Vec::new();
        for stranger in found {
            if !told.contains(&stranger.code) {
                told.push(stranger.code);
                let mend = self.mend(&statement.covered());
                self.find(Severity::Error, stranger.code, at, stranger.message, mend);
            }
        }
    }

    fn whom(&mut self, at: &str, reach: Reach, mend: &[Value]) {
        match reach {
            Reach::Account => {
                self.opens = true;
                self.find(
                    Severity::Error,
                    "principal_account",
                    at,
                    "The principal is the broker's whole account: every role and user there that its \
                     administrators allow. Name the broker's role.",
                    mend.to_vec(),
                );
            }
            Reach::Everyone => {
                self.opens = true;
                self.find(
                    Severity::Error,
                    "principal_everyone",
                    at,
                    "The principal is everyone, in every AWS account. Name the broker's role.",
                    mend.to_vec(),
                );
            }
            Reach::Role | Reach::Elsewhere => {}
        }
    }

    fn what(&mut self, at: &str, statement: &Statement, covered: &[&'static str], mend: &[Value]) {
        let of = |kind: Kind| {
            told(
                covered
                    .iter()
                    .filter(|action| actions::kind(action) == Some(kind)),
            )
        };
        let administration = of(Kind::Administration);
        if statement.not_actions {
            self.opens = true;
            self.find(
                Severity::Error,
                "not_action",
                at,
                "NotAction allows everything that it does not name, and what KMS learns to do later. \
                 Name the broker's actions.",
                mend.to_vec(),
            );
        } else if statement.covers_everything() {
            self.opens = true;
            self.find(
                Severity::Error,
                "action_everything",
                at,
                "Every action is allowed, administration of the key among them: whoever has it can \
                 change the policy itself. Name the broker's actions.",
                mend.to_vec(),
            );
        } else if !administration.is_empty() {
            self.opens = true;
            let message = format!(
                "The broker needs no administration of the key, and must not have it: {administration}."
            );
            self.find(
                Severity::Error,
                "administration",
                at,
                message,
                mend.to_vec(),
            );
        }
        let everything = statement.not_actions || statement.covers_everything();
        if !everything && statement.actions.iter().any(|it| it.contains(['*', '?'])) {
            self.find(
                Severity::Warning,
                "action_wildcard",
                at,
                "A wildcard in an action also names what KMS learns to do later. Name the broker's \
                 actions.",
                mend.to_vec(),
            );
        } else if !everything {
            let unneeded = of(Kind::Unneeded);
            if !unneeded.is_empty() {
                let message = format!("The broker never does this: {unneeded}.");
                self.find(
                    Severity::Warning,
                    "unneeded_action",
                    at,
                    message,
                    mend.to_vec(),
                );
            }
        }
    }

    /// Whether the statement is about this key, as far as that is known.
    fn resource(&mut self, at: &str, statement: &Statement) -> bool {
        if statement.not_resources {
            self.opens = true;
            self.find(
                Severity::Error,
                "not_resource",
                at,
                "NotResource is about every key but those that it names. In a key policy, Resource \
                 \"*\" is the key itself.",
                self.mend(&statement.covered()),
            );
            return true;
        }
        if statement.resources.iter().any(|it| it == "*") {
            return true;
        }
        let could_be = |pattern: &String| match &self.draft.key {
            Some(key) => like(pattern, key.as_str()),
            // An alias and another service's resource are never the key.
            None => pattern.contains('*') || pattern.contains(":key/"),
        };
        if !statement.resources.iter().any(could_be) {
            self.find(
                Severity::Error,
                "resource_other_key",
                at,
                "Resource names something other than this key, so that the statement does nothing. In \
                 a key policy, \"*\" is the key itself.",
                self.mend(&statement.covered()),
            );
            return false;
        }
        if self.draft.key.is_none() {
            self.find(
                Severity::Warning,
                "resource_named",
                at,
                "Resource names a key: if it is not the one that this policy hangs on, the statement \
                 does nothing. In a key policy, \"*\" is the key itself.",
                Vec::new(),
            );
        }
        true
    }

    /// Whether the broker's own calls of an action could meet every condition.
    fn meets(&self, statement: &Statement, action: &str) -> bool {
        statement
            .conditions
            .iter()
            .all(|condition| condition.holds(&self.own, action) != Holds::No)
    }
}

/// Whether a statement is held to an organization: which accounts are of it, is not known here.
fn of_organization(statement: &Statement) -> bool {
    statement.conditions.iter().any(|condition| {
        condition.key.starts_with("aws:principalorg") && !condition.negated && !condition.if_exists
    })
}

/// What is held to its own value for every one of these actions.
fn pinned_for(pins: &[(&'static str, Pinned)], actions: &[&'static str]) -> Pinned {
    let all = |pinned: fn(&Pinned) -> bool| {
        actions
            .iter()
            .all(|action| pins.iter().any(|(it, pin)| it == action && pinned(pin)))
    };
    Pinned {
        broker: all(|pin| pin.broker),
        workspace: all(|pin| pin.workspace),
    }
}
