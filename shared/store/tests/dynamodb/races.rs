//! Everything that changes a secret, at once: no version is lost, no number is used
//! twice, and nothing that was taken away or replaced comes back.

use crate::harness::*;
use envelope::{SecretVersion, WrappedDataKey};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use store::*;

/// What was acknowledged.
#[derive(Default)]
struct Log {
    /// The number and the sealed value of every put.
    put: Mutex<BTreeMap<u64, StoredVersion>>,
    revoked: Mutex<BTreeSet<u64>>,
    /// Wraps that others were stored in the place of.
    replaced: Mutex<BTreeSet<Vec<u8>>>,
    /// The last number of every deletion.
    deleted: Mutex<BTreeSet<u64>>,
    /// The kinds of changes that landed.
    landed: Mutex<BTreeSet<&'static str>>,
}

struct Race {
    bench: Bench,
    log: Log,
    fresh: AtomicU64,
}

impl Race {
    fn fresh(&self) -> u64 {
        self.fresh.fetch_add(1, Ordering::Relaxed)
    }

    /// A wrap of a version's data key, as KMS makes them: no two alike.
    fn wrap(&self, version: SecretVersion) -> WrappedDataKey {
        rewrapped(&format!("{version} {}", self.fresh()))
    }

    fn replaced(&self, wrapped: &WrappedDataKey) {
        let mut replaced = self.log.replaced.lock().unwrap();
        replaced.insert(wrapped.ciphertext.clone());
    }

    /// One change of `pay`, as it is read now; tried a few times. Nothing but a conflict
    /// may refuse it.
    async fn change(&self, kind: &'static str) {
        for _ in 0..3 {
            let result = match kind {
                "put" => self.put().await,
                "move" => self.move_all().await,
                "promote" => self.promote().await,
                "policy" => self.policy().await,
                "revoke" => self.revoke().await,
                _ => self.delete().await,
            };
            match result {
                Ok(landed) => {
                    if landed {
                        self.log.landed.lock().unwrap().insert(kind);
                    }
                    return;
                }
                Err(StoreError::Conflict(Which::Head | Which::Version)) => {}
                Err(StoreError::Unavailable(_)) if kind != "put" => {}
                Err(error) => panic!("{kind}: {error:?}"),
            }
        }
    }

    async fn live(&self) -> Option<LiveHead> {
        self.bench.head(&name("pay")).await?.live().cloned()
    }

    /// An earlier version of the head, whichever, if there is one.
    async fn earlier(&self, head: &LiveHead) -> Option<u64> {
        let listed = self
            .bench
            .store
            .list_versions(&self.bench.workspace, head, None, 100)
            .await;
        let listed = listed.unwrap().items;
        let stored: Vec<_> = listed
            .iter()
            .filter(|one| one.revoked_at.is_none())
            .collect();
        // Of a few, so that those who change one meet.
        let nth = usize::try_from(self.fresh()).unwrap();
        let few = stored.len().min(3);
        let one = stored.get(nth.checked_rem(few)?)?;
        Some(one.version.number().into())
    }

    async fn put(&self) -> Result<bool, StoreError> {
        let pay = name("pay");
        let former = self.bench.head(&pay).await;
        let number = Head::next_version(former.as_ref()).unwrap();
        let new = stored(number, &format!("{number} {}", self.fresh()));
        let put = PutSecret {
            former: former.as_ref(),
            ..self.bench.first_put(&pay, &new)
        };
        let audit = entry(AuditKind::Put);
        let (store, workspace) = (&self.bench.store, &self.bench.workspace);
        store.put_secret(workspace, &put, &audit).await?;
        let former = self
            .log
            .put
            .lock()
            .unwrap()
            .insert(number.number().into(), new);
        assert!(former.is_none(), "{number} was given twice");
        Ok(true)
    }

    async fn move_all(&self) -> Result<bool, StoreError> {
        let (store, workspace) = (&self.bench.store, &self.bench.workspace);
        let mut items = Vec::new();
        for part in [WrapPart::Heads, WrapPart::Earlier] {
            items.extend(store.wraps(workspace, part, None, 200).await?.0);
        }
        let new: Vec<_> = items.iter().map(|item| self.wrap(item.version)).collect();
        let moves: Vec<_> = items.iter().zip(&new).collect();
        let moved = store
            .move_wraps(workspace, Revision::new(1).unwrap(), &moves)
            .await?;
        for (item, moved) in items.iter().zip(&moved) {
            if *moved == Moved::Yes {
                self.replaced(&item.wrapped);
            }
        }
        Ok(moved.contains(&Moved::Yes))
    }

    async fn promote(&self) -> Result<bool, StoreError> {
        let pay = name("pay");
        let Some(head) = self.live().await else {
            return Ok(false);
        };
        let Some(number) = self.earlier(&head).await else {
            return Ok(false);
        };
        let wanted = Wanted {
            secret: Some(&pay),
            version: Some(version(number)),
            ..self.bench.wanted()
        };
        let records = self.bench.read(wanted).await?;
        let Some(EarlierVersion::Stored(earlier)) = records.version else {
            return Ok(false);
        };
        let wrapped = self.wrap(earlier.version);
        let promotion = self.bench.promotion_of(&head, &earlier, &wrapped);
        self.bench.promote(&promotion).await?;
        self.replaced(&earlier.wrapped);
        Ok(true)
    }

    async fn policy(&self) -> Result<bool, StoreError> {
        let Some(head) = self.live().await else {
            return Ok(false);
        };
        let wrapped = self.wrap(head.stored.version);
        let change = self.bench.policy_of(&head, &wrapped);
        self.bench.change_policy(&change).await?;
        self.replaced(&head.stored.wrapped);
        Ok(true)
    }

    async fn revoke(&self) -> Result<bool, StoreError> {
        let pay = name("pay");
        let Some(head) = self.live().await else {
            return Ok(false);
        };
        let Some(number) = self.earlier(&head).await else {
            return Ok(false);
        };
        let revocation = self.bench.revocation_of(&pay, number);
        self.bench.revoke(&revocation).await?;
        self.log.revoked.lock().unwrap().insert(number);
        Ok(true)
    }

    async fn delete(&self) -> Result<bool, StoreError> {
        let pay = name("pay");
        let Some(head) = self.live().await else {
            return Ok(false);
        };
        let (store, workspace) = (&self.bench.store, &self.bench.workspace);
        let audit = entry(AuditKind::Delete);
        let stamp = head.stamp();
        store
            .delete_secret(workspace, &pay, &stamp, None, &audit)
            .await?;
        let last = stamp.last.number().into();
        assert!(self.log.deleted.lock().unwrap().insert(last));
        Ok(true)
    }

    /// What was acknowledged is what is there.
    async fn settle(&self) {
        let pay = name("pay");
        let put = self.log.put.lock().unwrap().clone();
        let numbers: Vec<u64> = put.keys().copied().collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "a number was skipped or used twice");
        let gone = self.log.deleted.lock().unwrap().last().copied();
        let revoked = self.log.revoked.lock().unwrap().clone();
        let head = self.bench.head(&pay).await.unwrap();
        assert_eq!(u64::from(head.stamp().last.number()), numbers.len() as u64);
        for (number, stored) in put {
            let found = self.bench.version(&pay, number).await;
            if gone.is_some_and(|last| number <= last) {
                assert_eq!(found, None, "deleted version {number} came back");
                let sk = format!("V#pay#{number:07}");
                assert!(self.bench.item(&sk).await.is_none(), "{sk} was left");
            } else if revoked.contains(&number) {
                assert!(self.bench.is_revoked(&pay, number).await, "{number}");
            } else {
                let found = found.unwrap_or_else(|| panic!("version {number} was lost"));
                assert_eq!(found.sealed, stored.sealed, "version {number}");
                let wrap = String::from_utf8(found.wrapped.ciphertext.clone()).unwrap();
                let own = wrap.split(' ').nth(1) == Some(&number.to_string());
                assert!(own, "version {number} has another's wrap: {wrap}");
                let replaced = self.log.replaced.lock().unwrap();
                assert!(
                    !replaced.contains(&found.wrapped.ciphertext),
                    "version {number} has a wrap that was replaced: {wrap}"
                );
            }
        }
    }
}

/// Runs changes of these kinds against each other, for many rounds and until each kind
/// has landed.
async fn race(kinds: &'static [&'static str]) {
    const ROUNDS: u32 = 15;
    const ROUNDS_MAX: u32 = 1000;
    let race = Arc::new(Race {
        bench: Bench::bound().await,
        log: Log::default(),
        fresh: AtomicU64::new(0),
    });
    for _ in 0..3 {
        race.change("put").await;
    }
    for round in 0..ROUNDS_MAX {
        let changes = kinds.iter().map(|kind| {
            let race = Arc::clone(&race);
            tokio::spawn(async move { race.change(kind).await })
        });
        for ended in join_all(changes).await {
            ended.unwrap();
        }
        race.settle().await;
        let landed = race.log.landed.lock().unwrap();
        if round >= ROUNDS && kinds.iter().all(|kind| landed.contains(kind)) {
            return;
        }
    }
    panic!("not all landed: {:?}", race.log.landed);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_every_kind_at_once_lose_no_version_and_use_no_number_twice() {
    race(&[
        "put", "put", "put", "move", "promote", "promote", "policy", "revoke", "move",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_among_them_bring_nothing_back_and_take_nothing_that_came_after() {
    race(&[
        "put", "put", "delete", "move", "promote", "put", "policy", "revoke", "promote", "put",
    ])
    .await;
}
