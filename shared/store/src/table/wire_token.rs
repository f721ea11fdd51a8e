//! Tokens as items.

use super::{Item, form, keys, wire::agrees, wire_authority};
use crate::{Permission, SecretPattern, StoreError, TokenId, TokenRecord};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{WorkspaceId, kms::MakeMac};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::{Duration, OffsetDateTime};

const TOKEN: &str = "token";
const TTL: &str = "ttl";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
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

/// A token's item.
pub(super) async fn token_item(
    workspace: &WorkspaceId,
    token: &TokenRecord,
    mac: &MakeMac,
) -> Result<Item, StoreError> {
    let TokenRecord {
        id,
        permissions,
        secrets,
        expires_at,
        created_at,
        created_by,
        label,
    } = token.clone();
    let body = TokenBody {
        workspace: workspace.clone(),
        id,
        permissions,
        secrets,
        expires_at,
        created_at,
        created_by,
        label,
    };
    let place = (keys::workspace(workspace), keys::token(&token.id));
    wire_authority::item(TOKEN, (&place.0, &place.1), &body, beside(expires_at), mac).await
}

/// When DynamoDB may sweep the token: a day after it expired, and never where it does not.
fn beside(expires_at: Option<OffsetDateTime>) -> Item {
    let swept = |at: OffsetDateTime| {
        at.unix_timestamp()
            .saturating_add(Duration::DAY.whole_seconds())
    };
    let ttl = |at| (TTL.to_owned(), AttributeValue::N(swept(at).to_string()));
    expires_at.map(ttl).into_iter().collect()
}

/// `id` is what the token's place says.
pub(super) fn token(
    workspace: &WorkspaceId,
    id: &str,
    item: &Item,
) -> Result<TokenRecord, StoreError> {
    let TokenBody {
        workspace: own,
        id: own_id,
        permissions,
        secrets,
        expires_at,
        created_at,
        created_by,
        label,
    } = wire_authority::record(TOKEN, item)?;
    agrees(TOKEN, own == *workspace && own_id.as_str() == id)?;
    let absent: &[&str] = if expires_at.is_none() { &[TTL] } else { &[] };
    wire_authority::repeats(TOKEN, item, &beside(expires_at), absent)?;
    Ok(TokenRecord {
        id: own_id,
        permissions,
        secrets,
        expires_at,
        created_at,
        created_by,
        label,
    })
}
