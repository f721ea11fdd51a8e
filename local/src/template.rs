//! template.yaml as this program reads it: the local KMS and the tables enforce the
//! very rights that a deployment gives to its roles. A right that is not there is
//! not here either, so that a test which needs it fails.

use crate::{
    cast::{AUDIT_TABLE, TABLE},
    tables::TableRight,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    yaml_serde::from_str(include_str!("../../template.yaml"))
        .expect("template.yaml is YAML without tags")
});

/// The ARNs here of the template's keys, by their logical names.
pub(crate) type Keys = HashMap<&'static str, String>;

/// The template, its intrinsic functions unresolved.
#[must_use]
pub fn template() -> &'static Value {
    &TEMPLATE
}

/// What one of the template's roles may do to keys: its policies, without the
/// statements that speak of other services alone. `None` where nothing is left.
/// The deployment's own keys stand in it by their ARNs here.
pub(crate) fn rights_to_keys(role: &str, keys: &Keys) -> Option<Value> {
    let statements: Vec<Value> = statements(role)
        .filter(|statement| speaks_of_keys(statement))
        .cloned()
        .map(|mut statement| {
            let named = list(&statement["Resource"]).iter().map(|resource| {
                let own = resource["Fn::GetAtt"][0]
                    .as_str()
                    .and_then(|name| keys.get(name));
                own.map_or_else(|| resource.clone(), |arn| json!(arn))
            });
            statement["Resource"] = named.collect();
            statement
        })
        .collect();
    (!statements.is_empty()).then(|| json!({"Version": "2012-10-17", "Statement": statements}))
}

/// What one of the template's roles may do to the tables: a table's name here, and
/// an action. Only what is written out counts: an action's full name on a table.
pub(crate) fn rights_to_tables(role: &str) -> BTreeSet<TableRight> {
    statements(role)
        .filter(|statement| statement["Effect"] == "Allow" && statement["Condition"].is_null())
        .flat_map(|statement| {
            let tables: Vec<&str> = list(&statement["Resource"])
                .iter()
                .filter(|resource| resource["Fn::GetAtt"][1] == "Arn")
                .filter_map(|resource| match resource["Fn::GetAtt"][0].as_str() {
                    Some("BrokerTable") => Some(TABLE),
                    Some("AuditTable") => Some(AUDIT_TABLE),
                    _ => None,
                })
                .collect();
            let actions = list(&statement["Action"]).iter().filter_map(Value::as_str);
            actions.flat_map(move |action| {
                let right = move |table: &&str| ((*table).to_owned(), action.to_owned());
                tables.iter().map(right).collect::<Vec<_>>()
            })
        })
        .collect()
}

fn statements(role: &str) -> impl Iterator<Item = &'static Value> {
    let policies = TEMPLATE
        .pointer(&format!("/Resources/{role}/Properties/Policies"))
        .and_then(Value::as_array)
        .expect("every role of the cast is in the template, with its policies written out");
    policies
        .iter()
        .flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]))
}

fn speaks_of_keys(statement: &Value) -> bool {
    let elsewhere = |action: &Value| {
        let action = action.as_str().unwrap_or_default();
        action
            .split_once(':')
            .is_some_and(|(service, _)| !service.contains('*') && service != "kms")
    };
    // A statement without Action has NotAction, which may mean anything.
    statement["Action"].is_null() || !list(&statement["Action"]).iter().all(elsewhere)
}

/// One, or a list.
fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
}
