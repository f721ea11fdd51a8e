//! Tokens: made, listed, deleted.

use super::{Store, condition::Condition, keys, list::Range, transact::Transaction, wire_token};
use crate::{Audit, Page, StoreError, TokenId, TokenRecord, Which};
use envelope::WorkspaceId;

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// `Exists` where there is one of this id, `Token` where its maker's is gone.
    pub async fn put_token<'a>(
        &self,
        workspace: &WorkspaceId,
        token: &TokenRecord,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        let item = wire_token::token_item(workspace, token)?;
        let audit = audit.into();
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, Some(&token.id));
        write.put(
            &keys::token(&token.id),
            item,
            Which::Exists,
            Condition::absent(),
        );
        write.commit("put token", audit).await
    }

    /// A workspace's tokens by id, expired ones included.
    ///
    /// # Errors
    /// A token is broken, or DynamoDB could not be asked.
    pub async fn list_tokens(
        &self,
        workspace: &WorkspaceId,
        after: Option<&TokenId>,
        limit: u32,
    ) -> Result<Page<TokenRecord>, StoreError> {
        let range = Range::prefixed(self, keys::workspace(workspace), keys::TOKENS);
        range
            .list(after.map(TokenId::as_str), limit, |id, item| {
                wire_token::token(workspace, id, item).map(Some)
            })
            .await
    }

    /// Deletes a token: its next call is unknown. Returns whether there was
    /// one; where there was none, nothing is written.
    ///
    /// # Errors
    /// `Token` where the token of whoever asked is gone; DynamoDB could not be asked.
    pub async fn delete_token<'a>(
        &self,
        workspace: &WorkspaceId,
        id: &TokenId,
        audit: impl Into<Audit<'a>>,
    ) -> Result<bool, StoreError> {
        let audit = audit.into();
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, Some(id));
        write.delete(&keys::token(id), Which::Exists);
        match write.commit("delete token", audit).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict(Which::Exists)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
