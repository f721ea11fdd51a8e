//! One statement of a key policy, read by the grammar.

use super::{actions, conditions::Condition};
use serde_json::{Map, Value};

/// A statement of the grammar.
pub(super) struct Statement {
    pub(super) sid: String,
    pub(super) deny: bool,
    pub(super) principals: Principals,
    /// Whether the principals are those of `NotPrincipal`.
    pub(super) not_principals: bool,
    /// The patterns, as written.
    pub(super) actions: Vec<String>,
    pub(super) not_actions: bool,
    pub(super) resources: Vec<String>,
    pub(super) not_resources: bool,
    pub(super) conditions: Vec<Condition>,
}

/// Whom a `Principal` names.
#[derive(Default)]
pub(super) struct Principals {
    /// AWS accounts, roles, users, sessions; `*` is everyone.
    pub(super) aws: Vec<String>,
    /// Whether it names services or federations too.
    pub(super) others: bool,
}

impl Statement {
    /// Reads one. The error says which element is not of the grammar.
    pub(super) fn parse(value: &Value) -> Result<Self, &'static str> {
        const ELEMENTS: [&str; 9] = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        let map = value.as_object().ok_or("a statement is a JSON object")?;
        if map.keys().any(|key| !ELEMENTS.contains(&key.as_str())) {
            return Err(
                "a statement has Sid, Effect, Principal, Action, Resource, Condition and no other element; names are case-sensitive",
            );
        }
        let (principals, not_principals) = either(map, "Principal", "NotPrincipal")
            .ok_or("a statement of a key policy has one of Principal and NotPrincipal")?;
        let (actions, not_actions) = either(map, "Action", "NotAction")
            .ok_or("a statement has one of Action and NotAction")?;
        let (resources, not_resources) = either(map, "Resource", "NotResource")
            .ok_or("a statement has one of Resource and NotResource; in a key policy, \"*\" is the key itself")?;
        let actions = texts(actions).ok_or("Action is a text or a list of texts")?;
        if actions
            .iter()
            .any(|action| action != "*" && !action.contains(':'))
        {
            return Err("an action begins with its service, as kms:Decrypt");
        }
        Ok(Self {
            sid: match map.get("Sid") {
                None => String::new(),
                Some(sid) => sid.as_str().ok_or("Sid is a text")?.to_owned(),
            },
            deny: match map.get("Effect").and_then(Value::as_str) {
                Some("Allow") => false,
                Some("Deny") => true,
                _ => return Err("Effect is Allow or Deny"),
            },
            principals: Principals::parse(principals).ok_or(
                "Principal is \"*\" or an object of AWS, Service or Federated, each a text or a list of texts",
            )?,
            not_principals,
            actions,
            not_actions,
            resources: texts(resources).ok_or("Resource is a text or a list of texts")?,
            not_resources,
            conditions: match map.get("Condition") {
                None => Vec::new(),
                Some(block) => Condition::parse(block)?,
            },
        })
    }

    /// The KMS actions that it is about.
    pub(super) fn covered(&self) -> Vec<&'static str> {
        actions::ALL
            .iter()
            .map(|(action, _)| *action)
            .filter(|action| self.names(action) != self.not_actions)
            .collect()
    }

    fn names(&self, action: &str) -> bool {
        self.actions
            .iter()
            .any(|pattern| actions::names(pattern, action))
    }

    /// Whether it names every action there is.
    pub(super) fn covers_everything(&self) -> bool {
        !self.not_actions && self.covered().len() == actions::ALL.len()
    }
}

impl Principals {
    fn parse(value: &Value) -> Option<Self> {
        let map = match value {
            Value::String(all) if all == "*" => {
                return Some(Self {
                    aws: vec![all.clone()],
                    others: false,
                });
            }
            Value::Object(map) if !map.is_empty() => map,
            _ => return None,
        };
        let mut principals = Self::default();
        for (kind, names) in map {
            let names = texts(names)?;
            match kind.as_str() {
                "AWS" => principals.aws = names,
                "Service" | "Federated" | "CanonicalUser" => principals.others = true,
                _ => return None,
            }
        }
        Some(principals)
    }
}

/// The one of two elements that is there, and whether it is the negated one.
fn either<'a>(
    map: &'a Map<String, Value>,
    plain: &str,
    negated: &str,
) -> Option<(&'a Value, bool)> {
    match (map.get(plain), map.get(negated)) {
        (Some(value), None) => Some((value, false)),
        (None, Some(value)) => Some((value, true)),
        _ => None,
    }
}

/// One text or a list of at least one: the grammar allows both everywhere.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if !list.is_empty() => list
            .iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}
