//! A workspace and its key.

use super::{Store, condition::Condition, keys, transact::Transaction, wire, wire_token};
use crate::{
    Audit, BindKey, Binding, KeyStateName, KeyStateRecord, Revision, StoreError, TokenRecord, Which,
};
use envelope::WorkspaceId;

impl Store {
    /// Makes a workspace: a binding that says that there is no key yet, and its
    /// first token.
    ///
    /// # Errors
    /// `Exists` where the workspace does.
    pub async fn open_workspace<'a>(
        &self,
        workspace: &WorkspaceId,
        first: &TokenRecord,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        let audit = audit.into();
        let binding = wire::binding_item(workspace, &Binding::unbound(audit.entry.at))?;
        let token = wire_token::token_item(workspace, first)?;
        let mut write = Transaction::new(self, workspace);
        write.put(keys::BINDING, binding, Which::Exists, Condition::absent());
        write.put(
            &keys::token(&first.id),
            token,
            Which::Exists,
            Condition::absent(),
        );
        write.commit("open workspace", audit).await
    }

    /// Makes a KEK the current one and the one before it a former one, and notes
    /// that the key is active. Returns the binding's new revision.
    ///
    /// # Errors
    /// `Binding` where it is no longer the one that was read, `Token` where the
    /// token of whoever asked is gone.
    pub async fn bind_key<'a>(
        &self,
        workspace: &WorkspaceId,
        change: &BindKey,
        audit: impl Into<Audit<'a>>,
    ) -> Result<Revision, StoreError> {
        let binding = change.read.changed_to(&change.key, change.now);
        let state = KeyStateRecord {
            state: KeyStateName::Active,
            since: change.now,
            evidence: change.evidence.clone(),
        };
        let item = wire::binding_item(workspace, &binding)?;
        let audit = audit.into();
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, None);
        write.put(
            keys::BINDING,
            item,
            Which::Binding,
            Condition::revision(change.read.revision),
        );
        write.overwrite(keys::STATE, wire::state_item(&state)?, Which::Binding);
        write.commit("bind key", audit).await?;
        Ok(binding.revision)
    }
}
