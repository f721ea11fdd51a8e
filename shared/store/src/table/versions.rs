//! A secret's versions: their policy, their order, their end.

use super::{
    Store, condition::Condition, keys, list::Range, transact::Transaction, wire_secret,
    wire_version, wire_wrap,
};
use crate::{
    Audit, ChangePolicy, LiveHead, Page, Promote, Revision, RevokeVersion, StoreError,
    VersionSummary, Which,
};
use envelope::{SecretVersion, WorkspaceId};

impl Store {
    /// Gives the current version another destination policy and expiry, and its data
    /// key the wrap that is bound to them. The sealed bytes are not touched. Returns the
    /// head's new revision.
    ///
    /// # Errors
    /// `Token` where the token is gone, `Frozen` where the workspace is, `Idempotency`
    /// where the key's record exists and counts, `Binding` where the binding moved,
    /// `Head` where the head did; the first of these that holds. `TooLarge`.
    pub async fn change_policy<'a>(
        &self,
        workspace: &WorkspaceId,
        change: &ChangePolicy<'_>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<Revision, StoreError> {
        let revision = change.read.revision.next();
        let mut write = Transaction::new(self, workspace);
        write.check_token(change.token);
        write.check_not_frozen();
        write.remember(change.idempotency, change.now)?;
        write.check(
            keys::BINDING,
            Which::Binding,
            Condition::revision(change.binding_revision),
        );
        write.update(
            &keys::head(&change.read.name),
            wire_wrap::changed_policy(change, revision)?,
            &[],
            Which::Head,
            Condition::revision(change.read.revision),
        );
        write.commit("change policy", Some(audit.into())).await?;
        Ok(revision)
    }

    /// Makes an earlier version the head, under its own number and with a new wrap, and
    /// archives the former head. Later numbers stay used: the next put goes on after
    /// `last`. Returns the head's new revision.
    ///
    /// # Errors
    /// `Token` where the token is gone, `Frozen` where the workspace is, `Idempotency`
    /// where the key's record exists and counts, `Binding` where the binding moved,
    /// `Head` where the head did, `Version` where the earlier version is no longer as it
    /// was read; the first of these that holds. `TooLarge`.
    pub async fn promote<'a>(
        &self,
        workspace: &WorkspaceId,
        promote: &Promote<'_>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<Revision, StoreError> {
        let (former, version) = (promote.head, promote.version);
        let name = &former.name;
        if version.version == former.stored.version || !former.has_numbered(version.version) {
            return Err(StoreError::Conflict(Which::Version));
        }
        let mut head = LiveHead {
            stored: version.clone(),
            revision: former.revision.next(),
            updated_at: promote.now,
            ..former.clone()
        };
        head.stored.wrapped = promote.wrapped.clone();

        let mut write = Transaction::new(self, workspace);
        write.check_token(promote.token);
        write.check_not_frozen();
        write.remember(promote.idempotency, promote.now)?;
        write.check(
            keys::BINDING,
            Which::Binding,
            Condition::revision(promote.binding_revision),
        );
        write.put(
            &keys::head(name),
            wire_secret::live_item(workspace, &head)?,
            Which::Head,
            Condition::revision(former.revision),
        );
        write.put(
            &keys::version(name, former.stored.version),
            wire_version::earlier_item(workspace, name, &former.stored)?,
            Which::Head,
            Condition::absent(),
        );
        write.delete(
            &keys::version(name, version.version),
            Which::Version,
            Condition::earlier_with(&version.wrapped),
        );
        write.commit("promote", Some(audit.into())).await?;
        Ok(head.revision)
    }

    /// Takes an earlier version's sealed bytes and wrap away for good. Its number stays
    /// used, and its record says that it was revoked.
    ///
    /// # Errors
    /// `Token` where the token is gone, `Idempotency` where the key's record exists and
    /// counts, `Head` where the version is the current one or none of a secret that
    /// lives, `Version` where it is not there or revoked already; the first of these
    /// that holds.
    pub async fn revoke_version<'a>(
        &self,
        workspace: &WorkspaceId,
        revoke: &RevokeVersion<'_>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        let mut write = Transaction::new(self, workspace);
        write.check_token(revoke.token);
        write.remember(revoke.idempotency, revoke.now)?;
        write.check(
            &keys::head(revoke.name),
            Which::Head,
            Condition::live_beside(revoke.version),
        );
        write.update(
            &keys::version(revoke.name, revoke.version),
            wire_version::revocation(revoke.now)?,
            wire_version::LOST,
            Which::Version,
            Condition::earlier_stored(),
        );
        write.commit("revoke version", Some(audit.into())).await
    }

    /// A secret's versions but the current one, by number, revoked ones included, those
    /// after a number only. Asks for no sealed bytes. The page's `next` is a number in
    /// decimal digits.
    ///
    /// # Errors
    /// A version is broken, or DynamoDB could not be asked.
    pub async fn list_versions(
        &self,
        workspace: &WorkspaceId,
        head: &LiveHead,
        after: Option<SecretVersion>,
        limit: u32,
    ) -> Result<Page<VersionSummary>, StoreError> {
        let from = match after {
            None => Some(head.first),
            Some(after) => after.next().map(|next| next.max(head.first)),
        };
        let Some(from) = from else {
            return Ok(Page {
                items: Vec::new(),
                next: None,
            });
        };
        let pk = keys::workspace(workspace);
        let page = Range::versions(self, pk, &head.name, (from, head.last))
            .only(wire_version::SUMMARY)
            .list(None, limit, |digits, item| {
                let number = wire_version::number(digits)?;
                wire_version::summary(workspace, &head.name, number, item).map(Some)
            })
            .await?;
        let next = page.next.as_deref().map(wire_version::number).transpose()?;
        Ok(Page {
            items: page.items,
            next: next.map(|number| number.to_string()),
        })
    }
}
