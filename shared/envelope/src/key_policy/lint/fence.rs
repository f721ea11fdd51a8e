//! Whether the conditions of a statement hold it to one workspace of one
//! deployment, and what they do else.

use super::{
    Severity,
    conditions::{CALLER, Condition, Holds, KEYS, Operator, Own, SERVICE, Set},
};
use crate::EncryptionContext;

/// One remark about a statement's conditions.
pub(super) struct Remark {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// What the conditions come to.
pub(super) struct Fence {
    /// Whether other workspaces, other deployments and calls without a context are kept out.
    pub(super) closed: bool,
    /// Whether KMS would not take the policy.
    pub(super) refused: bool,
    pub(super) remarks: Vec<Remark>,
}

/// Which of the two pairs Deny statements hold to their own values already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pinned {
    pub(super) broker: bool,
    pub(super) workspace: bool,
}

impl Fence {
    /// Judges the conditions of a statement that allows calls with a context.
    pub(super) fn of(conditions: &[Condition], own: &Own<'_>, pinned: Pinned) -> Self {
        let mut fence = Self {
            closed: false,
            refused: false,
            remarks: Vec::new(),
        };
        let [broker, workspace, ..] = EncryptionContext::KEYS;
        let broker = fence.hold(conditions, own, broker, "broker", pinned.broker);
        let workspace = fence.hold(conditions, own, workspace, "workspace", pinned.workspace);
        match (broker, workspace) {
            (Held::Absent, Held::Absent) => fence.error(
                "missing_fence",
                "Nothing holds these calls to an encryption context: they are allowed for every \
                 workspace, and for calls without any context.",
            ),
            (Held::Absent, _) => fence.error(
                "missing_broker",
                "Nothing holds these calls to this deployment: kms:EncryptionContext:byok:broker \
                 is not asked for.",
            ),
            (_, Held::Absent) => fence.error(
                "missing_workspace",
                "Nothing holds these calls to this workspace: \
                 kms:EncryptionContext:byok:workspace is not asked for.",
            ),
            _ => {}
        }
        fence.closed = broker == Held::Yes && workspace == Held::Yes;
        fence.other_pairs(conditions, own);
        fence.keys(
            conditions,
            own,
            broker != Held::Absent || workspace != Held::Absent,
        );
        fence
    }

    /// Whether one pair is held to its own value; and where it is not, why.
    fn hold(
        &mut self,
        conditions: &[Condition],
        own: &Own<'_>,
        key: &str,
        word: &'static str,
        pinned: bool,
    ) -> Held {
        let value = own.pair(key).unwrap_or_default();
        let about: Vec<&Condition> = conditions
            .iter()
            .filter(|condition| {
                condition
                    .pair()
                    .is_some_and(|pair| pair.eq_ignore_ascii_case(key))
            })
            .collect();
        for condition in &about {
            if condition.set.is_some() {
                self.refused = true;
                self.error(
                    "set_operator",
                    "ForAllValues and ForAnyValue are for condition keys of several values; \
                     kms:EncryptionContext:<key> has one, and KMS refuses a policy that has them there.",
                );
            } else if condition.pair() != Some(key) {
                self.warning(
                    "context_key_case",
                    "The context's key is written in another case. AWS reads names of condition \
                     keys without regard to case, but not the values of kms:EncryptionContextKeys: \
                     write byok:broker and byok:workspace.",
                );
            }
        }
        if pinned || about.iter().any(|condition| condition.pins(value)) {
            // A second condition on the pair can then only narrow; but not beside the broker's own calls.
            if about
                .iter()
                .any(|it| it.set.is_none() && it.holds(own, "Decrypt") == Holds::No)
            {
                self.other(word);
            }
            return Held::Yes;
        }
        let mut held = Held::Absent;
        for condition in about {
            if condition.set.is_some() {
                held = Held::No;
            } else if condition.operator != Operator::Null {
                held = Held::No;
                self.why(condition, value, word);
            }
        }
        held
    }

    /// Why a condition does not hold a pair to its own value.
    fn why(&mut self, condition: &Condition, value: &str, word: &'static str) {
        if condition.if_exists {
            return self.error(
                "if_exists",
                format!(
                    "IfExists lets through every call that has no byok:{word} at all. Use StringEquals."
                ),
            );
        }
        if condition.negated {
            return self.error(
                "negated",
                format!(
                    "A negated operator lets through every {word} but the ones that it names, and \
                     calls without a context. Use StringEquals with this {word}."
                ),
            );
        }
        match condition.operator {
            Operator::EqualsIgnoreCase
                if condition.values.iter().any(|it| it.eq_ignore_ascii_case(value)) =>
            {
                self.error(
                    "ignore_case",
                    format!("StringEqualsIgnoreCase lets through other spellings of the {word}. Use StringEquals."),
                );
            }
            Operator::Equals | Operator::Like if condition.has_pattern() => self.error(
                "pattern",
                format!(
                    "A wildcard or a policy variable lets through more than one {word}. Use \
                     StringEquals with the whole name."
                ),
            ),
            Operator::Equals | Operator::Like | Operator::EqualsIgnoreCase => {
                if condition.values.iter().any(|it| it == value) {
                    let code = match word {
                        "broker" => "several_brokers",
                        _ => "several_workspaces",
                    };
                    self.error(
                        code,
                        format!("Several values are alternatives: each {word} of the list is let in. Name this one alone."),
                    );
                } else {
                    self.other(word);
                }
            }
            _ => self.error(
                "wrong_operator",
                format!("This operator does not compare texts: no byok:{word} ever meets it. Use StringEquals."),
            ),
        }
    }

    fn other(&mut self, word: &'static str) {
        let code = match word {
            "broker" => "other_broker",
            _ => "other_workspace",
        };
        self.error(
            code,
            format!("The condition names another {word}: that one is let in, and this one is not."),
        );
    }

    /// Conditions on the other pairs, and on ones that the broker's calls do not have.
    fn other_pairs(&mut self, conditions: &[Condition], own: &Own<'_>) {
        let [broker, workspace, ..] = EncryptionContext::KEYS;
        for condition in conditions {
            let Some(pair) = condition.pair() else {
                continue;
            };
            if [broker, workspace]
                .iter()
                .any(|key| key.eq_ignore_ascii_case(pair))
            {
                continue;
            }
            if condition.set.is_some() {
                self.refused = true;
                self.error(
                    "set_operator",
                    "ForAllValues and ForAnyValue are for condition keys of several values; \
                     kms:EncryptionContext:<key> has one, and KMS refuses a policy that has them there.",
                );
            } else if own.pair(pair).is_none() {
                self.error(
                    "unknown_context_key",
                    "The broker's calls have no such key in their context: it has byok:broker, \
                     byok:workspace, byok:secret, byok:version and byok:policy.",
                );
            } else if condition.holds(own, "Decrypt") == Holds::No {
                self.error(
                    "narrowed",
                    "Single secrets, versions or policies are picked out: all others are refused, \
                     and the proof of the key, which is made under byok:secret $probe, too.",
                );
            }
        }
    }

    /// The conditions on the context's keys. Without them a grant's constraint is as
    /// strict, which knows nothing of the kind, so that their lack is a warning.
    fn keys(&mut self, conditions: &[Condition], own: &Own<'_>, some_fence: bool) {
        let about: Vec<&Condition> = conditions
            .iter()
            .filter(|condition| condition.key == KEYS && condition.operator != Operator::Null)
            .collect();
        if about.is_empty() && some_fence {
            self.warning(
                "missing_context_keys",
                "Nothing forbids further pairs in the context: add ForAllValues:StringEquals on \
                 kms:EncryptionContextKeys with the broker's five.",
            );
        }
        for condition in about {
            match condition.set {
                None => self.error(
                    "context_keys_operator",
                    "kms:EncryptionContextKeys has several values, so that its operator must begin \
                     with ForAllValues; without, AWS does not promise what it means.",
                ),
                Some(_) if condition.holds(own, "Decrypt") == Holds::No => self.error(
                    "context_keys_too_few",
                    "The broker's calls have five keys, in this case and spelling: byok:broker, \
                     byok:workspace, byok:secret, byok:version, byok:policy. One is not in the list, \
                     so that all of its calls are refused.",
                ),
                Some(Set::Any) => self.warning(
                    "context_keys_any",
                    "ForAnyValue asks for one known key and lets any others through. Use ForAllValues.",
                ),
                Some(Set::All) => {
                    let ours = |value: &String| EncryptionContext::KEYS.contains(&value.as_str());
                    let exact = condition.operator == Operator::Equals && !condition.negated;
                    if !exact || !condition.values.iter().all(ours) {
                        self.warning(
                            "context_keys_too_many",
                            "More keys are allowed in the context than the broker's calls have.",
                        );
                    }
                }
            }
        }
    }

    fn error(&mut self, code: &'static str, message: impl Into<String>) {
        self.remark(Severity::Error, code, message.into());
    }

    fn warning(&mut self, code: &'static str, message: impl Into<String>) {
        self.remark(Severity::Warning, code, message.into());
    }

    /// A mistake that was made for both pairs is told once.
    fn remark(&mut self, severity: Severity, code: &'static str, message: String) {
        if self.remarks.iter().all(|remark| remark.code != code) {
            self.remarks.push(Remark {
                severity,
                code,
                message,
            });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Yes,
    No,
    Absent,
}

/// What the conditions that are not about the context do to calls of the broker's.
pub(super) fn beside(conditions: &[Condition], own: &Own<'_>) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = Vec::new();
    for condition in conditions {
        let key = condition.key.as_str();
        if condition.pair().is_some() || key == KEYS {
            continue;
        }
        let holds = condition.holds(own, "Decrypt");
        let (severity, code, message) = if holds == Holds::Yes {
            continue;
        } else if SERVICE.contains(&key) {
            (
                Severity::Error,
                "service_condition",
                "The condition is for calls that an AWS service makes on someone's behalf. The broker \
                 calls KMS itself: it never meets it.",
            )
        } else if CALLER.contains(&key) && holds == Holds::No {
            (
                Severity::Error,
                "caller_condition",
                "The condition asks for another caller than the broker's role.",
            )
        } else if key.starts_with("aws:principalorg") {
            (
                Severity::Warning,
                "organization_fence",
                "An organization is no fence between workspaces, and the broker may be of another: \
                 then it is refused.",
            )
        } else {
            (
                Severity::Warning,
                "extra_condition",
                "Whether the broker's calls meet this condition cannot be told here; where they do \
                 not, they are refused.",
            )
        };
        if remarks.iter().all(|remark| remark.code != code) {
            remarks.push(Remark {
                severity,
                code,
                message: message.to_owned(),
            });
        }
    }
    remarks
}
