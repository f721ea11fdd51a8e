//! A workspace, its key and its freeze.

use super::{
    Store, condition::Condition, failure::unwritten, keys, transact::Transaction, wire,
    wire_authority, wire_token,
};
use crate::{
    Attested, Audit, Authority, BindKey, Binding, Freeze, IdempotencyRecord, KeyStateName,
    KeyStateRecord, Revision, StoreError, TokenRecord, Which,
};
use envelope::{RecordKind, WorkspaceId, kms::MakeMac};
use futures_util::future::try_join;

impl Store {
    /// Makes a workspace: a binding that says that there is no key yet, and its
    /// first token.
    ///
    /// # Errors
    /// `Exists` where the workspace does; `Unattested`.
    pub async fn open_workspace<'a>(
        &self,
        workspace: &WorkspaceId,
        first: &TokenRecord,
        macs: Authority<'_>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        let audit = audit.into();
        let unbound = Binding::unbound(audit.entry.at);
        let (binding, token) = try_join(
            wire::binding_item(workspace, &unbound, macs.binding),
            wire_token::token_item(workspace, first, macs.token),
        )
        .await?;
        let mut write = Transaction::new(self, workspace);
        write.put(keys::BINDING, binding, Which::Exists, Condition::absent());
        write.put(
            &keys::token(&first.id),
            token,
            Which::Exists,
            Condition::absent(),
        );
        write.commit("open workspace", Some(audit)).await
    }

    /// Makes a KEK the current one and the one before it a former one, and notes
    /// that the key is active. Returns the binding's new revision.
    ///
    /// # Errors
    /// `Token` where the token of whoever asked is gone, `Idempotency` where the key's
    /// record exists and counts, `Binding` where it is no longer the one that was read;
    /// the first of these that holds. `Unattested`.
    pub async fn bind_key<'a>(
        &self,
        workspace: &WorkspaceId,
        change: &BindKey<'_>,
        mac: &MakeMac,
        audit: impl Into<Audit<'a>>,
    ) -> Result<Revision, StoreError> {
        let own = change.deployment_key.as_ref();
        let binding = change.read.changed_to(&change.key, own, change.now);
        let state = KeyStateRecord {
            state: KeyStateName::Active,
            since: change.now,
            evidence: change.evidence.clone(),
            grade: change.grade,
            probes: change.probes.clone(),
            checked_at: change.now,
        };
        let item = wire::binding_item(workspace, &binding, mac).await?;
        let audit = audit.into();
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, None);
        write.remember(change.idempotency, change.now)?;
        write.put(
            keys::BINDING,
            item,
            Which::Binding,
            Condition::revision(change.read.revision),
        );
        write.overwrite(keys::STATE, wire::state_item(&state)?, Which::Binding);
        write.commit("bind key", Some(audit)).await?;
        Ok(binding.revision)
    }

    /// Notes what a key was last seen to be, over whatever was noted before: advice.
    ///
    /// # Errors
    /// `TooLarge`.
    pub async fn note_key_state(
        &self,
        workspace: &WorkspaceId,
        state: &KeyStateRecord,
    ) -> Result<(), StoreError> {
        let place = keys::workspace(workspace);
        let item = keys::placed(&place, keys::STATE, wire::state_item(state)?);
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| unwritten("note key state", Which::Exists, &error))?;
        Ok(())
    }

    /// Freezes a workspace or thaws it. A freeze holds whatever was there; a thaw ends
    /// the very freeze that was `read` and no later one.
    ///
    /// # Errors
    /// `Token` where the token of whoever asked is gone, `Idempotency` where the key's
    /// record exists and counts, `Frozen` where a thaw meets another freeze than was
    /// read; the first of these that holds.
    pub async fn set_freeze<'a>(
        &self,
        workspace: &WorkspaceId,
        freeze: &Freeze,
        read: Option<&Freeze>,
        idempotency: Option<&IdempotencyRecord>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        let audit = audit.into();
        let item = wire::freeze_item(freeze)?;
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, None);
        write.remember(idempotency, audit.entry.at)?;
        if freeze.frozen {
            write.overwrite(keys::FREEZE, item, Which::Frozen);
        } else {
            write.put(keys::FREEZE, item, Which::Frozen, Condition::freeze(read)?);
        }
        write.commit("set freeze", Some(audit)).await
    }

    /// The binding, raw and read, and the freeze, for a job, which has no token.
    /// `None` where there is no such workspace.
    ///
    /// # Errors
    /// A record is broken, or DynamoDB could not be asked.
    pub async fn binding_for_job(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<(Binding, Attested, Option<Freeze>)>, StoreError> {
        let pk = keys::workspace(workspace);
        let sks = [keys::BINDING, keys::FREEZE];
        let mut items = self.read_items(&pk, sks.into_iter()).await?;
        let freeze = items.remove(keys::FREEZE).map(wire::freeze).transpose()?;
        let Some(item) = items.remove(keys::BINDING) else {
            return Ok(None);
        };
        let attested = wire_authority::attested(RecordKind::Binding, &pk, keys::BINDING, &item);
        Ok(Some((wire::binding(workspace, &item)?, attested, freeze)))
    }
}
