//! The bodies, as the API's document describes them. Answers are written with
//! these types; the parser of a request reads it field by field.

use api::{problems, rfc3339};
use serde::{Deserialize, Serialize};
use store::{SecretPattern, TokenId, TokenRecord};
use utoipa::ToSchema;

problems!(MakeProblems: TooLarge, Conflict);
problems!(ListProblems:);
problems!(RevokeProblems: Conflict);

/// A token to be made: nothing that the calling token does not have itself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; TokenRequest parses")]
pub(crate) struct NewToken {
    #[schema(min_items = 1)]
    permissions: Vec<Permission>,
    /// Names, or beginnings of names followed by `*`; 1 to 100. All secrets, if left out.
    #[schema(required = false, example = json!(["payments", "mail.*"]))]
    secrets: Vec<String>,
    /// No later than the calling token's own end, which it is if left out.
    #[schema(required = false, format = DateTime)]
    expires_at: String,
    /// Up to 100 bytes, for people.
    #[schema(required = false)]
    label: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Permission {
    ManageKey,
    WriteSecrets,
    ManagePolicies,
    UseSecrets,
    RevealSecrets,
    Read,
    ReadAudit,
    ManageTokens,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeToken {
    #[serde(flatten)]
    pub(crate) shown: ShownToken,
    /// The token itself, told this once.
    pub(crate) token: String,
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenPage {
    pub(crate) tokens: Vec<ListedToken>,
    /// What to ask on from, with `after`; null at the end. A page may be short before it.
    pub(crate) next: Option<String>,
}

/// A token as the list shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListedToken {
    #[serde(flatten)]
    pub(crate) shown: ShownToken,
    /// Whether this deployment made the record as it stands. One that is not opens nothing:
    /// every call with it is answered with `integrity_failure`. Revoke it, and ask who wrote it.
    pub(crate) authentic: bool,
}

/// A token, without the token itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownToken {
    id: String,
    #[schema(value_type = Vec<Permission>)]
    permissions: Vec<&'static str>,
    secrets: Option<Vec<String>>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// The id of the token that made it; null for the first, which the operator made.
    created_by: Option<String>,
    label: Option<String>,
}

impl From<&TokenRecord> for ShownToken {
    fn from(token: &TokenRecord) -> Self {
        Self {
            id: token.id.to_string(),
            permissions: token.permissions.iter().map(|it| it.as_str()).collect(),
            secrets: token
                .secrets
                .as_ref()
                .map(|list| list.iter().map(SecretPattern::to_string).collect()),
            expires_at: token.expires_at.map(rfc3339),
            created_at: rfc3339(token.created_at),
            created_by: token.created_by.as_ref().map(TokenId::to_string),
            label: token.label.clone(),
        }
    }
}
