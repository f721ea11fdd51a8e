//! Tokens as items.

use super::{
    Item, form,
    wire::{agrees, read, write},
};
use crate::{Permission, SecretPattern, StoreError, TokenId, TokenRecord};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::WorkspaceId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::{Duration, OffsetDateTime};

const TOKEN: &str = "token";

#[derive(Serialize, Deserialize)]
struct TokenItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    id: TokenId,
    #[serde(with = "form::texts")]
    permissions: BTreeSet<Permission>,
    #[serde(with = "form::patterns")]
    secrets: Option<Vec<SecretPattern>>,
    #[serde(with = "form::expiry")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "form::text_or_null")]
    created_by: Option<TokenId>,
    #[serde(with = "form::or_null")]
    label: Option<String>,
}

/// A token's item. DynamoDB sweeps it a day after it expired.
pub(super) fn token_item(workspace: &WorkspaceId, token: &TokenRecord) -> Result<Item, StoreError> {
    let TokenRecord {
        id,
        permissions,
        secrets,
        expires_at,
        created_at,
        created_by,
        label,
    } = token.clone();
    let workspace = workspace.clone();
    let mut item = write(
        TOKEN,
        &TokenItem {
            workspace,
            id,
            permissions,
            secrets,
            expires_at,
            created_at,
            created_by,
            label,
        },
    )?;
    if let Some(at) = token.expires_at {
        let swept = at
            .unix_timestamp()
            .saturating_add(Duration::DAY.whole_seconds());
        item.insert("ttl".to_owned(), AttributeValue::N(swept.to_string()));
    }
    Ok(item)
}

/// `id` is what the token's place says.
pub(super) fn token(
    workspace: &WorkspaceId,
    id: &str,
    item: Item,
) -> Result<TokenRecord, StoreError> {
    let item: TokenItem = read(TOKEN, item)?;
    agrees(
        TOKEN,
        item.workspace == *workspace && item.id.as_str() == id,
    )?;
    let TokenItem {
        id,
        permissions,
        secrets,
        expires_at,
        created_at,
        created_by,
        label,
        ..
    } = item;
    Ok(TokenRecord {
        id,
        permissions,
        secrets,
        expires_at,
        created_at,
        created_by,
        label,
    })
}
