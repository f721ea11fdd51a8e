//! Tokens: made, listed, deleted.

use super::{
    Store, condition::Condition, keys, list::Range, transact::Transaction, wire_authority,
    wire_token,
};
use crate::{Attested, Audit, IdempotencyRecord, Page, StoreError, TokenId, TokenRecord, Which};
use envelope::{RecordKind, WorkspaceId, kms::MakeMac};

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// `Token` where its maker's is gone, `Idempotency` where the key's record exists and
    /// counts, `Exists` where there is one of this id; the first of these that holds.
    /// `Unattested`.
    pub async fn put_token<'a>(
        &self,
        workspace: &WorkspaceId,
        token: &TokenRecord,
        mac: &MakeMac,
        idempotency: Option<&IdempotencyRecord>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        let item = wire_token::token_item(workspace, token, mac).await?;
        let audit = audit.into();
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, Some(&token.id));
        write.remember(idempotency, audit.entry.at)?;
        write.put(
            &keys::token(&token.id),
            item,
            Which::Exists,
            Condition::absent(),
        );
        write.commit("put token", Some(audit)).await
    }

    /// A workspace's tokens by id, each read and raw, expired ones included.
    ///
    /// # Errors
    /// A token is broken, or DynamoDB could not be asked.
    pub async fn list_tokens(
        &self,
        workspace: &WorkspaceId,
        after: Option<&TokenId>,
        limit: u32,
    ) -> Result<Page<(TokenRecord, Attested)>, StoreError> {
        let pk = keys::workspace(workspace);
        let parse = |id: &str, item| {
            let token = wire_token::token(workspace, id, &item)?;
            let sk = keys::token(&token.id);
            let attested = wire_authority::attested(RecordKind::Token, &pk, &sk, &item);
            Ok(Some((token, attested)))
        };
        Range::prefixed(self, pk.clone(), keys::TOKENS)
            .list(after.map(TokenId::as_str), limit, parse)
            .await
    }

    /// Deletes a token: its next call is unknown. Returns whether there was
    /// one; where there was none, nothing is written.
    ///
    /// # Errors
    /// `Token` where the token of whoever asked is gone, `Idempotency` where the key's
    /// record exists and counts; the first of these that holds.
    pub async fn delete_token<'a>(
        &self,
        workspace: &WorkspaceId,
        id: &TokenId,
        idempotency: Option<&IdempotencyRecord>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<bool, StoreError> {
        let audit = audit.into();
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, Some(id));
        write.remember(idempotency, audit.entry.at)?;
        write.delete(&keys::token(id), Which::Exists, Condition::exists());
        match write.commit("delete token", Some(audit)).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict(Which::Exists)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
