//! From a `KeyId` as callers write it (id, ARN, alias, alias ARN) to the key.

use crate::KmsError;
use crate::authz;
use crate::key::MULTI_REGION;
use crate::ops::Cx;
use crate::state::{KeyEntry, State};

/// The key that a request names.
#[derive(Debug, Clone)]
pub(crate) struct Target<'s> {
    pub(crate) key: &'s KeyEntry,
    /// The alias's name, where the request used one.
    pub(crate) alias: Option<String>,
}

/// Finds the key for `action`, and notes it for the event.
///
/// # Errors
///
/// InvalidArnException, NotFoundException; AccessDeniedException where the key would be
/// another account's and the caller may not even ask for it, so that a refusal does not
/// tell whether there is such a key.
pub(crate) fn key<'s>(
    cx: &Cx<'_>,
    state: &'s State,
    key_id: &str,
    action: &str,
) -> Result<Target<'s>, KmsError> {
    let place = Place::parse(cx, key_id)?;
    let (found, alias) = match place.resource.strip_prefix("key/") {
        Some(id) => (state.key(id, cx.region), None),
        None => {
            let index = (
                place.account.clone(),
                cx.region.to_owned(),
                place.resource.clone(),
            );
            let alias = state.aliases.get(&index);
            (
                alias.and_then(|alias| state.keys.get(&alias.key)),
                Some(place.resource.clone()),
            )
        }
    };
    let found = found.filter(|key| key.record.account == place.account);
    match found {
        Some(key) => {
            cx.touch(&key.record.account, &key.record.arn());
            Ok(Target { key, alias })
        }
        None if place.account == cx.caller.account
            || authz::identity_allows(cx, action, &place.arn) =>
        {
            let what = if alias.is_some() { "Alias" } else { "Key" };
            Err(KmsError::not_found(format!(
                "{what} {} is not found.",
                place.arn
            )))
        }
        None => {
            cx.touch(&place.account, &place.arn);
            Err(authz::refusal(cx, action, &place.arn, "resource-based"))
        }
    }
}

struct Place {
    account: String,
    /// `key/<id>` or `alias/<name>`.
    resource: String,
    arn: String,
}

impl Place {
    fn parse(cx: &Cx<'_>, key_id: &str) -> Result<Self, KmsError> {
        if key_id.is_empty() || key_id.len() > 2048 {
            return Err(KmsError::validation(
                "1 validation error detected: Value at 'keyId' failed to satisfy constraint: \
                 Member must have length between 1 and 2048",
            ));
        }
        if key_id.starts_with("arn:") {
            return Self::parse_arn(cx, key_id);
        }
        let resource = if key_id.starts_with("alias/") {
            key_id.to_owned()
        } else if uuid::Uuid::try_parse(key_id).is_ok() || key_id.starts_with(MULTI_REGION) {
            format!("key/{key_id}")
        } else {
            return Err(KmsError::not_found(format!("Invalid keyId '{key_id}'")));
        };
        let account = cx.caller.account.clone();
        Ok(Self {
            arn: format!("arn:aws:kms:{}:{account}:{resource}", cx.region),
            account,
            resource,
        })
    }

    fn parse_arn(cx: &Cx<'_>, arn: &str) -> Result<Self, KmsError> {
        let invalid = || KmsError::invalid_arn(format!("{arn} is not a valid ARN for a KMS key."));
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, "aws", "kms", region, account, resource] = parts[..] else {
            return Err(invalid());
        };
        let named = ["key/", "alias/"]
            .iter()
            .any(|kind| resource.strip_prefix(kind).is_some_and(|r| !r.is_empty()));
        if !named || !crate::caller::is_account(account) {
            return Err(invalid());
        }
        if region != cx.region {
            return Err(KmsError::not_found(format!("Invalid arn {region}")));
        }
        Ok(Self {
            account: account.to_owned(),
            resource: resource.to_owned(),
            arn: arn.to_owned(),
        })
    }
}
