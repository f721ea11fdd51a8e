//! Grants, read as ListGrants shows them and CreateGrant takes them.

use super::{actions, conditions::Own};
use crate::EncryptionContext;
use serde_json::Value;

/// A grant of the form that KMS has (AWS KMS API Reference, "GrantListEntry").
pub(super) struct Grant {
    pub(super) grantee: String,
    pub(super) operations: Vec<String>,
    pub(super) key: Option<String>,
    pub(super) subset: Vec<(String, String)>,
    /// Whether `EncryptionContextEquals` is there, with anything in it.
    pub(super) equals: bool,
}

/// How a grant's constraints fence it.
pub(super) struct Constrained {
    /// Whether other workspaces, other deployments and calls without a context are kept out.
    pub(super) closed: bool,
    /// Whether the broker's own calls meet them.
    pub(super) holds: bool,
    /// Errors, by code and message.
    pub(super) errors: Vec<(&'static str, &'static str)>,
    /// Whether a key is written in another case.
    pub(super) other_case: bool,
}

impl Grant {
    /// Reads one. The error says what is not of the form.
    pub(super) fn parse(value: &Value) -> Result<Self, &'static str> {
        const CONSTRAINTS: &str = "Constraints is an object of EncryptionContextSubset or \
                                   EncryptionContextEquals, each an object of texts";
        let map = value.as_object().ok_or("a grant is a JSON object")?;
        let text = |name: &str| map.get(name).and_then(Value::as_str).map(str::to_owned);
        let operations = map
            .get("Operations")
            .and_then(Value::as_array)
            .and_then(|list| {
                list.iter()
                    .map(|it| it.as_str().map(str::to_owned))
                    .collect()
            })
            .ok_or("Operations is a list of texts")?;
        let (mut subset, mut equals) = (Vec::new(), false);
        match map.get("Constraints") {
            None | Some(Value::Null) => {}
            Some(Value::Object(constraints)) => {
                for (name, pairs) in constraints {
                    let pairs = pairs
                        .as_object()
                        .and_then(|pairs| {
                            pairs
                                .iter()
                                .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                                .collect::<Option<Vec<_>>>()
                        })
                        .ok_or(CONSTRAINTS)?;
                    match name.as_str() {
                        "EncryptionContextSubset" => subset = pairs,
                        "EncryptionContextEquals" => equals = !pairs.is_empty(),
                        _ => return Err(CONSTRAINTS),
                    }
                }
            }
            Some(_) => return Err(CONSTRAINTS),
        }
        Ok(Self {
            grantee: text("GranteePrincipal").ok_or("GranteePrincipal is a text")?,
            operations,
            key: text("KeyId"),
            subset,
            equals,
        })
    }

    /// The actions that its operations are; KMS takes their names as they are written here.
    pub(super) fn covered(&self) -> Vec<&'static str> {
        actions::ALL
            .iter()
            .map(|(action, _)| *action)
            .filter(|action| self.operations.iter().any(|name| name == action))
            .collect()
    }

    /// Judges its constraints. In one, a context's key knows no case and its value does
    /// (AWS KMS API Reference, "GrantConstraints").
    pub(super) fn constrained(&self, own: &Own<'_>) -> Constrained {
        let mut judged = Constrained {
            closed: false,
            holds: true,
            errors: Vec::new(),
            other_case: false,
        };
        if self.equals {
            judged.holds = false;
            // Equal to one context of five pairs: nobody else's is let in either.
            judged.closed = true;
            judged.errors.push((
                "grant_equals",
                "EncryptionContextEquals asks for the whole context, of five pairs, which differs \
                 for every secret and version: no call meets it. Use EncryptionContextSubset.",
            ));
            return judged;
        }
        if self.subset.is_empty() {
            judged.errors.push((
                "grant_without_constraints",
                "Nothing holds the grant to an encryption context: it serves every workspace, and \
                 calls without any context.",
            ));
            return judged;
        }
        let mut held = [false, false];
        for (key, value) in &self.subset {
            let at = EncryptionContext::KEYS
                .iter()
                .position(|known| known.eq_ignore_ascii_case(key));
            let Some(at) = at else {
                judged.holds = false;
                judged.errors.push((
                    "unknown_context_key",
                    "The broker's calls have no such key in their context: it has byok:broker, \
                     byok:workspace, byok:secret, byok:version and byok:policy.",
                ));
                continue;
            };
            let known = EncryptionContext::KEYS[at];
            judged.other_case |= known != key;
            let matches = own.pair(known) == Some(value);
            if at < held.len() {
                held[at] = matches;
            }
            if !matches {
                judged.holds = false;
                judged.errors.push(match at {
                    0 => (
                        "other_broker",
                        "The constraint names another broker: that one is let in, and this one is not.",
                    ),
                    1 => (
                        "other_workspace",
                        "The constraint names another workspace: that one is let in, and this one is not.",
                    ),
                    _ => (
                        "narrowed",
                        "Single secrets, versions or policies are picked out: all others are refused, \
                         and the proof of the key, which is made under byok:secret $probe, too.",
                    ),
                });
            }
        }
        let asked = |at: usize| {
            self.subset
                .iter()
                .any(|(key, _)| EncryptionContext::KEYS[at].eq_ignore_ascii_case(key))
        };
        if !asked(0) {
            judged.errors.push((
                "missing_broker",
                "Nothing holds the grant to this deployment: the constraint has no byok:broker.",
            ));
        }
        if !asked(1) {
            judged.errors.push((
                "missing_workspace",
                "Nothing holds the grant to this workspace: the constraint has no byok:workspace.",
            ));
        }
        judged.closed = held == [true, true];
        judged
    }
}
