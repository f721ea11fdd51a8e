//! Policy documents: reading them, and asking what they say to one request.
//!
//! Principals are judged here, because a key policy knows two ways of naming one
//! (the caller itself, which allows; the caller's account, which only delegates to
//! its identity policies). Actions, resources and conditions are evaluated by the
//! crate `iam-rs`, one statement at a time. Where its reading differs from AWS's,
//! the document is rewritten before it is given to it:
//!
//! - `ArnEquals` becomes `ArnLike`: at AWS the two are the same;
//! - policy variables in condition values are filled in, and one without a value
//!   matches nothing (the crate fills them in resources only, with nothing);
//! - a literal `*` or `?` in a request's value stands for itself, so that a value
//!   which contains one cannot slip by a pattern.
//!
//! A statement that cannot be evaluated denies if it is a Deny and allows nothing
//! if it is an Allow. `NotPrincipal` spares a caller only if both the caller and
//! its account are named, as AWS advises to write it; with Allow it is refused.

use crate::caller::{self, Caller, Kind};
use iam_rs::{
    Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, IAMStatement, PolicyEvaluator,
    PolicyVariable, Principal, PrincipalId,
};
use serde_json::{Map, Value, json};

// Private-use characters that no policy and no request of ours contains.
const STAR: &str = "\u{e000}";
const QUESTION: &str = "\u{e001}";
const NO_VALUE: &str = "\u{e002}";

/// A parsed key policy, or the identity policies of one principal.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
struct Statement {
    deny: bool,
    who: Who,
    /// The statement without principals, its effect set to Allow: "it matches".
    json: Value,
    /// Ready to ask; absent where policy variables make it differ by request.
    evaluator: Option<PolicyEvaluator>,
}

#[derive(Debug, Clone)]
enum Who {
    /// An identity policy speaks of the principal that it hangs on.
    Bearer,
    Named(Vec<String>),
    NotNamed(Vec<String>),
}

/// What a document says to one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Says {
    /// A Deny matches.
    pub(crate) denied: bool,
    /// An Allow matches that names the caller itself, or everyone.
    pub(crate) caller: bool,
    /// An Allow matches that names the caller's account.
    pub(crate) account: bool,
}

/// One question to a document.
#[derive(Debug, Clone)]
pub(crate) struct Question(IAMRequest);

impl Question {
    /// `action` as `kms:Decrypt`; `resource` an ARN, or `None` for actions that have none.
    pub(crate) fn new(action: &str, resource: Option<&str>, facts: Facts) -> Self {
        let resource = resource
            .and_then(|arn| Arn::parse(arn).ok())
            .unwrap_or_else(|| Arn {
                partition: "aws".into(),
                service: "kms".into(),
                region: String::new(),
                account_id: String::new(),
                resource: "none".into(),
            });
        // Principals are judged here; the crate only wants some valid one.
        let nobody = Principal::Aws(PrincipalId::String("000000000000".into()));
        Self(IAMRequest::new_with_context(
            nobody, action, resource, facts.0,
        ))
    }
}

/// The condition keys of a request, with their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts(Context);

impl Facts {
    pub(crate) fn text(&mut self, key: impl Into<String>, value: &str) {
        self.0
            .insert(key.into(), ContextValue::String(literal(value)));
    }

    pub(crate) fn list<'a>(
        &mut self,
        key: impl Into<String>,
        values: impl Iterator<Item = &'a str>,
    ) {
        let values = values.map(literal).collect();
        self.0.insert(key.into(), ContextValue::StringList(values));
    }

    pub(crate) fn flag(&mut self, key: impl Into<String>, value: bool) {
        self.0.insert(key.into(), ContextValue::Boolean(value));
    }

    pub(crate) fn number(&mut self, key: impl Into<String>, value: f64) {
        self.0.insert(key.into(), ContextValue::Number(value));
    }
}

impl Document {
    /// A key policy. The error says what is wrong, for a MalformedPolicyDocumentException.
    pub(crate) fn key_policy(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text)
            .map_err(|_| "Policy document is not valid JSON.".to_owned())?;
        Self::parse(&value, true)
    }

    /// One identity policy document, or an array of several.
    pub(crate) fn identity_policy(value: &Value) -> Result<Self, String> {
        let mut statements = Vec::new();
        for document in one_or_many(value) {
            statements.extend(Self::parse(document, false)?.statements);
        }
        Ok(Self { statements })
    }

    fn parse(value: &Value, key_policy: bool) -> Result<Self, String> {
        let document = value
            .as_object()
            .ok_or("A policy document is a JSON object.")?;
        let modern = match document.get("Version").map(Value::as_str) {
            None | Some(Some("2008-10-17")) => false,
            Some(Some("2012-10-17")) => true,
            Some(_) => return Err("The policy's Version is not one that there is.".into()),
        };
        if let Some(other) = document
            .keys()
            .find(|key| !["Version", "Id", "Statement"].contains(&key.as_str()))
        {
            return Err(format!("A policy has no element {other}."));
        }
        let statements = one_or_many(document.get("Statement").ok_or("Statement is missing.")?)
            .iter()
            .map(|statement| Statement::parse(statement, key_policy, modern))
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// What the document says to `caller` about `question`.
    pub(crate) fn says(&self, caller: &Caller, question: &Question) -> Says {
        let mut says = Says::default();
        for statement in &self.statements {
            let reach = statement.who.reach(caller);
            if reach == Reach::Nobody || !statement.matches(question) {
                continue;
            }
            if statement.deny {
                says.denied = true;
            } else if reach == Reach::Caller {
                says.caller = true;
            } else {
                says.account = true;
            }
        }
        says
    }
}

/// Whom a statement reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Nobody,
    Account,
    Caller,
}

impl Who {
    fn reach(&self, caller: &Caller) -> Reach {
        let named = |names: &[String]| {
            names
                .iter()
                .any(|name| name == "*" || caller.is_named_by(name))
        };
        let account_named =
            |names: &[String]| names.iter().any(|name| caller.account_is_named_by(name));
        match self {
            Self::Bearer => Reach::Caller,
            Self::Named(names) if named(names) => Reach::Caller,
            Self::Named(names) if account_named(names) => match caller.kind {
                Kind::Root => Reach::Caller,
                _ => Reach::Account,
            },
            Self::Named(_) => Reach::Nobody,
            Self::NotNamed(names) => {
                let account = account_named(names);
                let caller_too = named(names) || (account && caller.kind == Kind::Root);
                if names.iter().any(|name| name == "*") || (account && caller_too) {
                    Reach::Nobody
                } else {
                    Reach::Caller
                }
            }
        }
    }
}

impl Statement {
    fn parse(value: &Value, key_policy: bool, modern: bool) -> Result<Self, String> {
        let mut map = value
            .as_object()
            .ok_or("A statement is a JSON object.")?
            .clone();
        let deny = match map.get("Effect").and_then(Value::as_str) {
            Some("Allow") => false,
            Some("Deny") => true,
            _ => return Err("Effect is Allow or Deny.".into()),
        };
        let who = match (map.remove("Principal"), map.remove("NotPrincipal")) {
            (None, None) if !key_policy => Who::Bearer,
            (Some(_), _) | (_, Some(_)) if !key_policy => {
                return Err("An identity policy names no principals.".into());
            }
            (Some(principal), None) => Who::Named(names(&principal)?),
            (None, Some(principal)) if deny => Who::NotNamed(names(&principal)?),
            (None, Some(_)) => return Err("NotPrincipal goes with Deny only.".into()),
            _ => return Err("A statement has one of Principal and NotPrincipal.".into()),
        };
        exactly_one_of(&map, "Action", "NotAction")?;
        exactly_one_of(&map, "Resource", "NotResource")?;
        let known = [
            "Sid",
            "Effect",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        if let Some(other) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("A statement has no element {other}."));
        }
        if let Some(condition) = map.remove("Condition") {
            let condition = conditions(&condition, key_policy, modern)?;
            map.insert("Condition".into(), Value::Object(condition));
        }
        map.insert("Effect".into(), json!("Allow"));
        let json = Value::Object(map);
        let ready = evaluator(&json)?;
        let variables = modern
            && json
                .get("Condition")
                .is_some_and(|c| c.to_string().contains("${"));
        Ok(Self {
            deny,
            who,
            json,
            evaluator: (!variables).then_some(ready),
        })
    }

    fn matches(&self, question: &Question) -> bool {
        let decision = match &self.evaluator {
            Some(evaluator) => evaluator.evaluate(&question.0).map_err(|e| e.to_string()),
            None => evaluator(&filled(&self.json, &question.0.context))
                .and_then(|e| e.evaluate(&question.0).map_err(|e| e.to_string())),
        };
        match decision {
            Ok(result) => result.decision == Decision::Allow,
            Err(_) => self.deny,
        }
    }
}

/// The crate's evaluator for one statement without principals.
fn evaluator(statement: &Value) -> Result<PolicyEvaluator, String> {
    let statement: IAMStatement = serde_json::from_value(statement.clone())
        .map_err(|error| format!("A statement cannot be read: {error}."))?;
    Ok(PolicyEvaluator::with_policies(vec![
        IAMPolicy::new().add_statement(statement),
    ]))
}

fn one_or_many(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}

fn exactly_one_of(map: &Map<String, Value>, one: &str, other: &str) -> Result<(), String> {
    match (map.contains_key(one), map.contains_key(other)) {
        (true, false) | (false, true) => Ok(()),
        _ => Err(format!("A statement has one of {one} and {other}.")),
    }
}

/// The AWS principals of a `Principal` element. Services and federations never call here.
fn names(principal: &Value) -> Result<Vec<String>, String> {
    let invalid = || "Policy contains a statement with one or more invalid principals.".to_owned();
    let map = match principal {
        Value::String(all) if all == "*" => return Ok(vec![all.clone()]),
        Value::Object(map) if !map.is_empty() => map,
        _ => return Err(invalid()),
    };
    let mut aws = Vec::new();
    for (kind, ids) in map {
        for id in one_or_many(ids) {
            let id = id.as_str().ok_or_else(invalid)?;
            match kind.as_str() {
                "AWS" if is_principal(id) => aws.push(id.to_owned()),
                "Service" | "Federated" | "CanonicalUser" if !id.is_empty() => {}
                _ => return Err(invalid()),
            }
        }
    }
    Ok(aws)
}

fn is_principal(id: &str) -> bool {
    id == "*"
        || caller::is_account(id)
        || (!id.contains(['*', '?']) && caller::parse_arn(id).is_some())
}

/// The condition block, rewritten for the crate, each condition tried alone.
fn conditions(block: &Value, key_policy: bool, modern: bool) -> Result<Map<String, Value>, String> {
    let mut out: Map<String, Value> = Map::new();
    for (operator, keys) in block.as_object().ok_or("Condition is a JSON object.")? {
        let keys = keys
            .as_object()
            .ok_or_else(|| format!("{operator} holds a JSON object."))?;
        let operator = operator
            .replace("ArnEquals", "ArnLike")
            .replace("ArnNotEquals", "ArnNotLike");
        let set = operator.starts_with("ForAllValues:") || operator.starts_with("ForAnyValue:");
        for (key, value) in keys {
            // KMS developer guide, "kms:EncryptionContext:context-key": single-valued.
            let single = key
                .get(.."kms:encryptioncontext:".len())
                .is_some_and(|start| start.eq_ignore_ascii_case("kms:encryptioncontext:"));
            if key_policy && set && single {
                return Err(format!(
                    "{operator} is a set operator, and {key} has a single value."
                ));
            }
            let value = condition_values(&operator, value, modern)?;
            try_alone(&operator, key, &value)?;
            let slot = out
                .entry(operator.clone())
                .or_insert_with(|| json!({}))
                .as_object_mut()
                .ok_or("Condition is a JSON object.")?;
            if slot.insert(key.clone(), value).is_some() {
                return Err(format!("{key} stands under {operator} twice."));
            }
        }
    }
    Ok(out)
}

/// A condition's values as a list of strings, literals and patterns told apart.
fn condition_values(operator: &str, value: &Value, modern: bool) -> Result<Value, String> {
    if operator.starts_with("For") && operator.ends_with(":Bool") {
        // The crate wants real booleans here.
        return match value {
            Value::String(text) => text
                .parse::<bool>()
                .map(Value::Bool)
                .map_err(|_| format!("{operator} takes true or false.")),
            Value::Bool(_) => Ok(value.clone()),
            _ => Err(format!("{operator} takes true or false.")),
        };
    }
    let values = one_or_many(value)
        .iter()
        .map(|value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
            _ => Err(format!("{operator} takes strings, numbers or booleans.")),
        })
        .map(|text| {
            text.map(|text| {
                let text = if modern {
                    text.replace("${*}", STAR).replace("${?}", QUESTION)
                } else {
                    text
                };
                Value::String(if operator.contains("Like") {
                    text
                } else {
                    literal(&text)
                })
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(Value::Array(values))
}

/// Refuses a condition that the crate does not know or whose value it cannot read.
fn try_alone(operator: &str, key: &str, value: &Value) -> Result<(), String> {
    if value.to_string().contains("${") {
        return Ok(());
    }
    let statement = json!({
        "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {operator: {key: value}},
    });
    let question = Question::new("kms:Decrypt", None, Facts::default());
    evaluator(&statement)?
        .evaluate(&question.0)
        .map(|_| ())
        .map_err(|_| format!("The value of {key} under {operator} cannot be read."))
}

/// The statement with its condition values' policy variables filled in.
fn filled(statement: &Value, context: &Context) -> Value {
    let mut statement = statement.clone();
    let Some(Value::Object(block)) = statement.get_mut("Condition") else {
        return statement;
    };
    for keys in block.values_mut().filter_map(Value::as_object_mut) {
        for value in keys.values_mut().filter_map(Value::as_array_mut).flatten() {
            if let Value::String(text) = value {
                *text = fill(text, context);
            }
        }
    }
    statement
}

fn fill(text: &str, context: &Context) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(end) = rest[start..].find('}') else {
            break;
        };
        let variable = &rest[start..=start + end];
        out.push_str(&rest[..start]);
        out.push_str(&match PolicyVariable::parse(variable) {
            Ok(v) if v.default_value.is_some() || context.get(&v.key).is_some() => {
                v.resolve(context)
            }
            _ => NO_VALUE.to_owned(),
        });
        rest = &rest[start + end + 1..];
    }
    out.push_str(rest);
    out
}

/// A request's value or an exact one of a policy: wildcards in it stand for themselves.
fn literal(text: &str) -> String {
    // A variable's braces are left: what is within is no pattern.
    text.replace('*', STAR).replace('?', QUESTION)
}

#[cfg(test)]
mod tests;
