//! What Deny statements take away from the broker, and what they fence for it.

use super::{Judge, Read, told};
use crate::key_policy::lint::{
    Severity,
    actions::{self, Kind, like},
    conditions::{Holds, Operator},
    fence::Pinned,
    statement::Statement,
    whom::Reach,
};
use crate::{EncryptionContext, Job};

impl Judge<'_> {
    pub(super) fn denies(&mut self, statements: &[Read]) {
        for read in statements.iter().filter(|read| read.statement.deny) {
            let Read {
                at,
                reach,
                statement,
            } = read;
            if statement.not_principals {
                self.find(
                    Severity::Warning,
                    "not_principal",
                    at,
                    "A Deny for all but those that it names hits the broker, unless both its role and \
                     its account are named.",
                    Vec::new(),
                );
            }
            if *reach == Reach::Elsewhere || !self.could_be_here(statement) {
                continue;
            }
            let (mut certain, mut perhaps) = (Vec::new(), Vec::new());
            for action in statement.covered() {
                if !matches!(actions::kind(action), Some(Kind::Job(_))) {
                    continue;
                }
                let holds: Vec<Holds> = statement
                    .conditions
                    .iter()
                    .map(|condition| condition.holds(&self.own, action))
                    .collect();
                if holds.contains(&Holds::No) {
                    continue;
                }
                match holds.contains(&Holds::Unknown) {
                    true => perhaps.push(action),
                    false => certain.push(action),
                }
            }
            let jobs = Job::ALL.iter().flat_map(|job| job.actions());
            if jobs.clone().all(|action| certain.contains(action)) {
                self.find(
                    Severity::Error,
                    "cut_in_place",
                    at,
                    "The broker is cut off: a Deny beats every statement and every grant. Take it out \
                     to let it in again.",
                    Vec::new(),
                );
            } else if !certain.is_empty() {
                let severity = match certain[..] {
                    ["DescribeKey"] => Severity::Warning,
                    _ => Severity::Error,
                };
                let message = format!("The broker is denied {}.", told(certain.iter()));
                self.find(severity, "denied", at, message, Vec::new());
            }
            if !perhaps.is_empty() {
                let message = format!(
                    "Under conditions that cannot be judged here the broker is denied {}.",
                    told(perhaps.iter())
                );
                self.find(
                    Severity::Warning,
                    "conditional_deny",
                    at,
                    message,
                    Vec::new(),
                );
            }
            self.denied.extend(certain);
        }
    }

    fn could_be_here(&self, statement: &Statement) -> bool {
        let named = statement.resources.iter().any(|pattern| {
            pattern == "*"
                || self
                    .draft
                    .key
                    .as_ref()
                    .is_none_or(|key| like(pattern, key.as_str()))
        });
        statement.not_resources || named
    }

    /// What Deny statements hold to the workspace already: a Deny of all calls whose
    /// pair is another one, or which have none, is as good as a condition that asks for it.
    pub(super) fn pins(&self, statements: &[Read]) -> Vec<(&'static str, Pinned)> {
        let [broker, workspace, ..] = EncryptionContext::KEYS;
        let mut pins = Vec::new();
        for Read {
            reach, statement, ..
        } in statements
        {
            let [condition] = &statement.conditions[..] else {
                continue;
            };
            let plain = statement.deny
                && *reach != Reach::Elsewhere
                && !statement.not_principals
                && !statement.not_resources
                && statement.resources.iter().any(|it| it == "*")
                && condition.set.is_none()
                && condition.negated
                && condition.operator == Operator::Equals;
            let pair = condition.pair().unwrap_or_default();
            let is = |key: &str| {
                plain
                    && key.eq_ignore_ascii_case(pair)
                    && condition
                        .values
                        .iter()
                        .map(String::as_str)
                        .eq(self.own.pair(key))
            };
            let pinned = Pinned {
                broker: is(broker),
                workspace: is(workspace),
            };
            if pinned.broker || pinned.workspace {
                pins.extend(
                    statement
                        .covered()
                        .into_iter()
                        .map(|action| (action, pinned)),
                );
            }
        }
        pins
    }
}
