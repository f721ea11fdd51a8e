//! TagResource, UntagResource, ListResourceTags, and the tags of CreateKey and ReplicateKey.
//! A key's tags are condition keys: `aws:ResourceTag`; those of a request `aws:RequestTag`.

use super::{Cx, managed, page, paged, read, required, wrong_state};
use crate::KmsError;
use crate::key::{KeyRecord, KeyState};
use crate::policy::Facts;
use crate::state::Change;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Tags on one key (AWS General Reference, "Tagging AWS resources").
const MOST_TAGS: usize = 50;

/// API reference, "Tag".
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    tag_key: Option<String>,
    tag_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    tags: Option<Vec<Tag>>,
    tag_keys: Option<Vec<String>>,
}

/// API reference, "TagResource".
pub(super) fn tag(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let tags = parse(Some(required(input.tags, "tags")?))?;
    let mut facts = Facts::default();
    request_facts(&mut facts, &tags);
    let mut live = cx.engine.write();
    let mut key = managed(cx, &live.state, &key_id, "TagResource", facts)?;
    check_state(&key)?;
    key.tags.extend(tags);
    if key.tags.len() > MOST_TAGS {
        return Err(KmsError::limit_exceeded("Too many tags on this key."));
    }
    live.commit(vec![Change::Key(key)])?;
    Ok(json!({}))
}

/// API reference, "UntagResource". A tag that is not there is no error.
pub(super) fn untag(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let names = required(input.tag_keys, "tagKeys")?;
    names.iter().try_for_each(|name| check_name(name))?;
    let mut facts = Facts::default();
    facts.list("aws:TagKeys", names.iter().map(String::as_str));
    let mut live = cx.engine.write();
    let mut key = managed(cx, &live.state, &key_id, "UntagResource", facts)?;
    check_state(&key)?;
    key.tags.retain(|name, _| !names.contains(name));
    live.commit(vec![Change::Key(key)])?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListInput {
    key_id: Option<String>,
    limit: Option<u32>,
    marker: Option<String>,
}

/// API reference, "ListResourceTags".
pub(super) fn list(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ListInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let live = cx.engine.read();
    let action = "ListResourceTags";
    let key = managed(cx, &live.state, &key_id, action, Facts::default())?;
    let (tags, next) = page(
        entries(&key.tags),
        input.limit,
        50,
        50,
        input.marker.as_deref(),
    )?;
    Ok(paged("Tags", tags, next))
}

pub(super) fn entries(tags: &BTreeMap<String, String>) -> Vec<Value> {
    tags.iter()
        .map(|(name, value)| json!({"TagKey": name, "TagValue": value}))
        .collect()
}

/// The tags of a request: names of 1 to 128 characters, each once and none of AWS's own, and
/// values of up to 256.
pub(super) fn parse(tags: Option<Vec<Tag>>) -> Result<BTreeMap<String, String>, KmsError> {
    let mut parsed = BTreeMap::new();
    for tag in tags.unwrap_or_default() {
        let name = required(tag.tag_key, "tagKey")?;
        let value = required(tag.tag_value, "tagValue")?;
        check_name(&name)?;
        if value.chars().count() > 256 {
            return Err(KmsError::validation(
                "1 validation error detected: Value at 'tagValue' failed to satisfy constraint: \
                 Member must have length less than or equal to 256",
            ));
        }
        if parsed.insert(name, value).is_some() {
            return Err(KmsError::tag("Duplicate tag keys."));
        }
    }
    match parsed.len() > MOST_TAGS {
        true => Err(KmsError::tag("Too many tags.")),
        false => Ok(parsed),
    }
}

/// `aws:RequestTag` and `aws:TagKeys`.
pub(super) fn request_facts(facts: &mut Facts, tags: &BTreeMap<String, String>) {
    for (name, value) in tags {
        facts.text(format!("aws:RequestTag/{name}"), value);
    }
    if !tags.is_empty() {
        facts.list("aws:TagKeys", tags.keys().map(String::as_str));
    }
}

fn check_name(name: &str) -> Result<(), KmsError> {
    match name.chars().count() {
        1..=128 if name.to_lowercase().starts_with("aws:") => Err(KmsError::tag(
            "Tag keys that begin with aws: are AWS's own.",
        )),
        1..=128 => Ok(()),
        _ => Err(KmsError::validation(
            "1 validation error detected: Value at 'tagKey' failed to satisfy constraint: Member \
             must have length between 1 and 128",
        )),
    }
}

fn check_state(key: &KeyRecord) -> Result<(), KmsError> {
    match key.state {
        KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. } => {
            Err(wrong_state(key))
        }
        _ => Ok(()),
    }
}
