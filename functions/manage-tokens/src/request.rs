//! The body of a new token.

use api::{Caller, Fields, Problem};
use std::collections::BTreeSet;
use store::{Permission, SecretPattern, TokenRecord};
use time::OffsetDateTime;

const SECRETS_MAX: usize = 100;
const LABEL_MAX: usize = 100;

/// What a new token is asked to be able to do.
pub(crate) struct TokenRequest {
    permissions: BTreeSet<Permission>,
    secrets: Option<Vec<SecretPattern>>,
    expires_at: Option<OffsetDateTime>,
    label: Option<String>,
}

impl TokenRequest {
    /// ```text
    /// {"permissions": ["use_secrets", …], "secrets"?: ["name", "prefix*", …], "expires_at"?, "label"?}
    /// ```
    ///
    /// # Errors
    /// `invalid_request`.
    pub(crate) fn parse(body: &[u8], now: OffsetDateTime) -> Result<Self, Problem> {
        let mut fields = Fields::parse(body)?;
        let permissions: Vec<String> = fields.required("permissions", "a list of permissions")?;
        let secrets: Option<Vec<String>> = fields.optional(
            "secrets",
            "a list of names, or beginnings of names followed by *",
        )?;
        let expires_at = fields.time("expires_at")?;
        let label: Option<String> = fields.optional("label", "text")?;
        fields.finish()?;

        let names = Permission::ALL.map(Permission::as_str).join(", ");
        let permissions = permissions
            .iter()
            .map(|name| {
                Permission::parse(name)
                    .ok_or_else(|| Problem::invalid("permissions", format!("of {names}")))
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        if permissions.is_empty() {
            return Err(Problem::invalid(
                "permissions",
                format!("at least one of {names}"),
            ));
        }
        let secrets = secrets
            .map(|list| {
                list.iter()
                    .map(|text| SecretPattern::parse(text))
                    .collect::<Result<Vec<_>, _>>()
            })
            .transpose()
            .map_err(|error| Problem::invalid_id("secrets", error))?;
        if secrets
            .as_ref()
            .is_some_and(|list| list.is_empty() || list.len() > SECRETS_MAX)
        {
            return Err(Problem::invalid(
                "secrets",
                "1 to 100 names or beginnings of names",
            ));
        }
        let whole = permissions
            .iter()
            .find(|permission| permission.is_of_the_whole_workspace());
        if let (Some(whole), Some(_)) = (whole, &secrets) {
            let rule = format!("none with {whole}, which is about the whole workspace");
            return Err(Problem::invalid("secrets", rule));
        }
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Problem::invalid("expires_at", "a time to come"));
        }
        if label
            .as_ref()
            .is_some_and(|label| label.len() > LABEL_MAX || label.chars().any(char::is_control))
        {
            return Err(Problem::invalid(
                "label",
                "up to 100 bytes without control characters",
            ));
        }
        Ok(Self {
            permissions,
            secrets,
            expires_at,
            label,
        })
    }

    /// The record of the token, if all of it is within its maker's own reach.
    /// Its id is still the maker's: the token is not yet made.
    ///
    /// # Errors
    /// `invalid_request`: it would give more than its maker has.
    pub(crate) fn within(
        self,
        caller: &Caller,
        now: OffsetDateTime,
    ) -> Result<TokenRecord, Problem> {
        if !self.permissions.is_subset(&caller.record.permissions) {
            return Err(Problem::invalid(
                "permissions",
                "none that the calling token does not have itself",
            ));
        }
        if !caller.covers(self.secrets.as_deref()) {
            return Err(Problem::invalid(
                "secrets",
                "none that the calling token does not reach itself",
            ));
        }
        let expires_at = match (self.expires_at, caller.record.expires_at) {
            (Some(end), Some(own)) if end > own => {
                return Err(Problem::invalid(
                    "expires_at",
                    "no later than the calling token's own end",
                ));
            }
            (end, own) => end.or(own),
        };
        Ok(TokenRecord {
            id: caller.id.clone(),
            permissions: self.permissions,
            secrets: self.secrets,
            expires_at,
            created_at: now,
            created_by: Some(caller.id.clone()),
            label: self.label,
        })
    }
}
