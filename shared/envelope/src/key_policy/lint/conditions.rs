//! Conditions: reading them, and whether the broker's own calls meet them.

use super::{super::KeyPolicy, actions, actions::like};
use crate::EncryptionContext;
use serde_json::Value;

/// The beginning of the condition keys for the pairs of an encryption context, in
/// lower case: names of condition keys know no case (IAM User Guide, "IAM JSON
/// policy elements: Condition").
pub(super) const PAIR: &str = "kms:encryptioncontext:";
/// The condition key for the context's keys: the one here of several values.
pub(super) const KEYS: &str = "kms:encryptioncontextkeys";

/// One operator over one condition key.
pub(super) struct Condition {
    pub(super) set: Option<Set>,
    pub(super) operator: Operator,
    pub(super) negated: bool,
    pub(super) if_exists: bool,
    /// The condition key as written.
    pub(super) written: String,
    /// The same in lower case.
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

/// How an operator compares a key of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    All,
    Any,
}

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Bool,
    Null,
    /// Numbers, dates, addresses, bytes: no text of ours is one.
    Other,
}

/// Whether a condition holds for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    /// It depends on what is not known here.
    Unknown,
}

impl Condition {
    /// Reads a condition block: operators, over keys, over values.
    pub(super) fn parse(block: &Value) -> Result<Vec<Self>, &'static str> {
        const FORM: &str = "Condition is an object of operators, each an object of condition keys";
        let mut conditions = Vec::new();
        for (operator, keys) in block.as_object().ok_or(FORM)? {
            for (key, values) in keys.as_object().ok_or(FORM)? {
                conditions.push(Self::of(operator, key, values)?);
            }
        }
        Ok(conditions)
    }

    fn of(operator: &str, key: &str, values: &Value) -> Result<Self, &'static str> {
        const UNKNOWN: &str =
            "there is no such condition operator; the names of operators are case-sensitive";
        let (set, rest) = match operator.split_once(':') {
            None => (None, operator),
            Some(("ForAllValues", rest)) => (Some(Set::All), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::Any), rest),
            Some(_) => return Err(UNKNOWN),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            // `Null` asks for existence itself (IAM User Guide, "...IfExists condition operators").
            Some("Null") => return Err(UNKNOWN),
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (operator, negated) = match name {
            "StringEquals" => (Operator::Equals, false),
            "StringNotEquals" => (Operator::Equals, true),
            "StringEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, true),
            "StringLike" => (Operator::Like, false),
            "StringNotLike" => (Operator::Like, true),
            "ArnEquals" | "ArnLike" => (Operator::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Operator::Arn, true),
            "Bool" => (Operator::Bool, false),
            "Null" => (Operator::Null, false),
            "NumericNotEquals" | "DateNotEquals" | "NotIpAddress" => (Operator::Other, true),
            "NumericEquals"
            | "NumericLessThan"
            | "NumericLessThanEquals"
            | "NumericGreaterThan"
            | "NumericGreaterThanEquals"
            | "DateEquals"
            | "DateLessThan"
            | "DateLessThanEquals"
            | "DateGreaterThan"
            | "DateGreaterThanEquals"
            | "IpAddress"
            | "BinaryEquals" => (Operator::Other, false),
            _ => return Err(UNKNOWN),
        };
        let values = values_of(values)
            .ok_or("a condition's value is a text, a number or a boolean, or a list of them")?;
        let is_flag = |value: &String| {
            value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
        };
        if matches!(operator, Operator::Bool | Operator::Null) && !values.iter().all(is_flag) {
            return Err("Bool and Null take \"true\" or \"false\"");
        }
        Ok(Self {
            set,
            operator,
            negated,
            if_exists,
            written: key.to_owned(),
            key: key.to_ascii_lowercase(),
            values,
        })
    }

    /// The name of the context's pair that it is about, as written.
    pub(super) fn pair(&self) -> Option<&str> {
        // The prefix is ASCII, so that it has the same length as written.
        self.key
            .starts_with(PAIR)
            .then(|| self.written.get(PAIR.len()..))
            .flatten()
    }

    /// Whether it holds the key to `value` and to no other, in calls that have none too.
    pub(super) fn pins(&self, value: &str) -> bool {
        let exact = match self.operator {
            Operator::Equals => true,
            Operator::Like => !self.has_pattern(),
            _ => false,
        };
        exact
            && self.set.is_none()
            && !self.negated
            && !self.if_exists
            && !self.values.is_empty()
            && self.values.iter().all(|own| own == value)
    }

    /// Whether a value is a pattern, or a variable that AWS fills in.
    pub(super) fn has_pattern(&self) -> bool {
        let variable = self.values.iter().any(|value| value.contains("${"));
        variable
            || (self.operator == Operator::Like
                && self.values.iter().any(|value| value.contains(['*', '?'])))
    }

    /// Whether the broker's call of `action` meets it (IAM User Guide, "IAM JSON policy
    /// elements: Condition operators": the values are alternatives, which a negated
    /// operator excludes one and all; a key that is absent fails an operator and passes a
    /// negated one).
    pub(super) fn holds(&self, own: &Own<'_>, action: &str) -> Holds {
        let Some(actual) = own.values(&self.key, action) else {
            return Holds::Unknown;
        };
        if self.operator == Operator::Null {
            let absent = actual.is_empty().to_string();
            return yes(self
                .values
                .iter()
                .any(|value| value.eq_ignore_ascii_case(&absent)));
        }
        if self.values.iter().any(|value| value.contains("${")) {
            return Holds::Unknown;
        }
        let one = |actual: &&str| {
            self.values.iter().any(|value| self.compares(value, actual)) != self.negated
        };
        match self.set {
            Some(Set::All) => yes(actual.iter().all(one)),
            Some(Set::Any) => yes(actual.iter().any(one)),
            None if actual.is_empty() => yes(self.negated || self.if_exists),
            // Several values without a set operator: AWS promises nothing, so neither do we.
            None if actual.len() > 1 => Holds::Unknown,
            None => yes(actual.iter().all(one)),
        }
    }

    fn compares(&self, value: &str, actual: &str) -> bool {
        match self.operator {
            Operator::Equals => value == actual,
            Operator::EqualsIgnoreCase => value.eq_ignore_ascii_case(actual),
            Operator::Like => like(value, actual),
            Operator::Arn => actual.starts_with("arn:") && like(value, actual),
            Operator::Bool => value.eq_ignore_ascii_case(actual),
            Operator::Null | Operator::Other => false,
        }
    }
}

fn yes(holds: bool) -> Holds {
    match holds {
        true => Holds::Yes,
        false => Holds::No,
    }
}

/// Numbers and booleans may stand without quotes (IAM User Guide, "Grammar of the IAM
/// JSON policy language").
fn values_of(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        other => one(other).map(|value| vec![value]),
    }
}

/// The broker's own calls: what of them a condition can ask for.
pub(super) struct Own<'a> {
    pub(super) role: &'a str,
    pub(super) account: &'a str,
    pub(super) context: EncryptionContext,
}

impl<'a> Own<'a> {
    /// The calls of the proof of a key, whose secret is `$probe`.
    pub(super) fn of(policy: &KeyPolicy<'a>) -> Self {
        Self {
            role: policy.role,
            account: policy.role.split(':').nth(4).unwrap_or_default(),
            context: EncryptionContext::probe(policy.broker, policy.workspace),
        }
    }

    /// The context's value for one of its keys, whatever its case.
    pub(super) fn pair(&self, key: &str) -> Option<&str> {
        self.context
            .pairs()
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.as_str())
    }

    /// What a call has under a condition key, in lower case: nothing, one value or
    /// several; `None` where that is not known here.
    fn values(&self, key: &str, action: &str) -> Option<Vec<&str>> {
        let context = actions::has_context(action);
        if let Some(pair) = key.strip_prefix(PAIR) {
            return Some(self.pair(pair).filter(|_| context).into_iter().collect());
        }
        Some(match key {
            KEYS if context => EncryptionContext::KEYS.to_vec(),
            KEYS => Vec::new(),
            "kms:calleraccount" | "aws:principalaccount" => vec![self.account],
            "aws:principalarn" => vec![self.role],
            "aws:principaltype" => vec!["AssumedRole"],
            "aws:securetransport" => vec!["true"],
            "aws:principalisawsservice" | "aws:viaawsservice" => vec!["false"],
            "kms:encryptionalgorithm" if context => vec!["SYMMETRIC_DEFAULT"],
            "kms:keyspec" => vec!["SYMMETRIC_DEFAULT"],
            "kms:keyusage" => vec!["ENCRYPT_DECRYPT"],
            key if SERVICE.contains(&key) => Vec::new(),
            _ => return None,
        })
    }
}

/// Condition keys, in lower case, that only a call has which an AWS service makes on
/// someone's behalf (IAM User Guide, "AWS global condition context keys"; AWS KMS
/// Developer Guide, "kms:ViaService"). The broker calls KMS itself.
pub(super) const SERVICE: [&str; 10] = [
    "kms:viaservice",
    "kms:grantisforawsresource",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:principalservicename",
];

/// Condition keys, in lower case, about who calls, all of which are known of the broker.
pub(super) const CALLER: [&str; 6] = [
    "kms:calleraccount",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principaltype",
    "aws:principalisawsservice",
    "aws:viaawsservice",
];
