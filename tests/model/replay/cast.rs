//! The same actors on the real store: each step of the model's is one call of it, with what the
//! actor has read from the store itself.

use super::bench::{NOW, Room, number, policy, wrapped};
use crate::{
    actors::{Local, Role},
    conditions::Refusal,
    job::Stage,
    table::{JobState, Phase, Stored, Table, Wrap},
};
use envelope::KeyArn;
use store::{
    AuditKind, Binding, ChangePolicy, EarlierVersion, Freeze, Head, IdempotencyId,
    IdempotencyRecord, JobPhase, JobRecord, Moved, Promote, PutSecret, RevokeVersion, SaveJob,
    StoreError, StoredVersion, Which, WrapItem, WrapPart,
};
use time::Duration;

/// What one actor has read.
#[derive(Default)]
pub(crate) struct Memory {
    binding: Option<Binding>,
    head: Option<Head>,
    earlier: Option<StoredVersion>,
    number: Option<u8>,
    job: Option<JobRecord>,
    page: Vec<WrapItem>,
}

/// What the store said of a transaction.
pub(crate) type Said = Option<Result<(), Refusal>>;

impl Memory {
    /// Takes the step that the model takes from `local` to the table `after` it.
    pub(crate) async fn step(
        &mut self,
        room: &mut Room<'_>,
        role: Role,
        me: u8,
        local: Local,
        after: &Table,
    ) -> Said {
        match (role, local) {
            (Role::Use { .. } | Role::Count, _) => None,
            (Role::Put { value, keyed }, Local::Put(put)) if put.former.is_some() => {
                Some(said(self.put(room, me, value, keyed).await))
            }
            (Role::Put { .. }, Local::Put(put)) => {
                self.head = room.read(None).await.head;
                if put.tries == 0 {
                    let next = Head::next_version(self.head.as_ref()).unwrap();
                    self.number = Some(next.number() as u8);
                }
                None
            }
            (Role::Delete, Local::Outside) => {
                self.head = room.read(None).await.head;
                match &self.head {
                    // What is left of an earlier deletion is deleted without a transaction.
                    Some(Head::Deleted(_)) if after.token => {
                        self.delete(room).await.unwrap();
                        None
                    }
                    _ => None,
                }
            }
            (Role::Delete, Local::Delete(_)) => Some(said(self.delete(room).await)),
            (Role::ChangePolicy { policy: to }, Local::Change(change)) if change.head.is_some() => {
                Some(said(self.change(room, me, to).await))
            }
            (Role::Promote { .. }, Local::Promote(it)) if it.earlier.is_some() => {
                Some(said(self.promote(room, me).await))
            }
            (Role::Promote { number }, Local::Promote(it)) if it.head.is_some() => {
                self.earlier = match room.read(Some(number)).await.version {
                    Some(EarlierVersion::Stored(stored)) => Some(stored),
                    _ => None,
                };
                None
            }
            (
                Role::ChangePolicy { .. } | Role::Promote { .. },
                Local::Change(_) | Local::Promote(_),
            ) => {
                self.head = room.read(None).await.head;
                None
            }
            (Role::Revoke { number: it }, _) => {
                let revoke = RevokeVersion {
                    name: &room.name,
                    version: number(it),
                    token: &room.token,
                    idempotency: None,
                    now: NOW,
                };
                let audit = room.audit(AuditKind::RevokeVersion);
                let store = &room.bench.store;
                Some(said(
                    store.revoke_version(&room.workspace, &revoke, &audit).await,
                ))
            }
            (Role::Bind { key }, Local::Bind(_)) => {
                let read = self.binding.clone().unwrap();
                Some(said(room.bind(read, key).await.map(drop)))
            }
            (Role::StartJob, Local::StartJob { .. }) => Some(said(self.start(room).await)),
            (Role::Run, Local::Run(run)) => self.run(room, me, run, after).await,
            (Role::Run, _) => {
                let store = &room.bench.store;
                let job = store.read_job(&room.workspace, &room.job.unwrap()).await;
                self.job = job.unwrap().map(|(job, _)| job);
                None
            }
            (Role::Freeze, _) => {
                let freeze = Freeze {
                    frozen: true,
                    since: NOW,
                    by: "operator".to_owned(),
                    reason: "drill".to_owned(),
                };
                let mut audit = room.audit(AuditKind::Freeze);
                audit.token = store::Actor::Operator;
                let set = room
                    .bench
                    .store
                    .set_freeze(&room.workspace, &freeze, None, None, &audit);
                set.await.unwrap();
                None
            }
            (Role::LoseToken, _) => {
                let mut audit = room.audit(AuditKind::DeleteToken);
                audit.token = store::Actor::Operator;
                let store = &room.bench.store;
                let lost = store.delete_token(&room.workspace, &room.token, None, &audit);
                assert!(lost.await.unwrap());
                None
            }
            // An admission: of what it reads, the binding counts.
            (_, Local::Outside) => {
                self.binding = room.read(None).await.binding;
                None
            }
            (role, local) => unreachable!("{role:?} at {local:?}"),
        }
    }

    fn current(&self) -> KeyArn {
        self.binding.as_ref().unwrap().current.clone().unwrap()
    }

    async fn put(&self, room: &Room<'_>, me: u8, value: u8, keyed: bool) -> Result<(), StoreError> {
        let mut new = room.version(Stored {
            version: self.number.unwrap(),
            value,
            policy: value,
            wrap: made(me, value, value),
        });
        new.wrapped.key = self.current();
        let remembered = IdempotencyRecord {
            answer_mac: [9; 32],
            id: IdempotencyId::of(&room.token, "key"),
            fingerprint: [1; 32],
            status: 201,
            answer: "{}".to_owned(),
            etag: None,
            expires_at: NOW + Duration::DAY,
        };
        let put = PutSecret {
            name: &room.name,
            former: self.head.as_ref(),
            new: &new,
            binding_revision: self.binding.as_ref().unwrap().revision,
            token: &room.token,
            idempotency: keyed.then_some(&remembered),
            now: NOW,
        };
        let audit = room.audit(AuditKind::Put);
        let store = &room.bench.store;
        store
            .put_secret(&room.workspace, &put, &audit)
            .await
            .map(drop)
    }

    async fn delete(&self, room: &Room<'_>) -> Result<(), StoreError> {
        let stamp = self.head.as_ref().unwrap().stamp();
        let audit = room.audit(AuditKind::Delete);
        let store = &room.bench.store;
        store
            .delete_secret(&room.workspace, &room.name, &stamp, None, &audit)
            .await
    }

    async fn change(&self, room: &Room<'_>, me: u8, to: u8) -> Result<(), StoreError> {
        let head = self.head.as_ref().and_then(Head::live).unwrap();
        let mut wrapped = wrapped(made(me, value_of(&head.stored), to));
        wrapped.key = self.current();
        let change = ChangePolicy {
            read: head,
            wrapped: &wrapped,
            policy: &policy(to),
            expires_at: None,
            binding_revision: self.binding.as_ref().unwrap().revision,
            token: &room.token,
            idempotency: None,
            now: NOW,
        };
        let audit = room.audit(AuditKind::ChangePolicy);
        let store = &room.bench.store;
        store
            .change_policy(&room.workspace, &change, &audit)
            .await
            .map(drop)
    }

    async fn promote(&self, room: &Room<'_>, me: u8) -> Result<(), StoreError> {
        let head = self.head.as_ref().and_then(Head::live).unwrap();
        let earlier = self.earlier.as_ref().unwrap();
        let mut to = earlier.wrapped.clone();
        if to.key != self.current() {
            let (value, policy, _) = parts(&to);
            to = wrapped(made(me, value, policy));
            to.key = self.current();
        }
        let promote = Promote {
            head,
            version: earlier,
            wrapped: &to,
            binding_revision: self.binding.as_ref().unwrap().revision,
            token: &room.token,
            idempotency: None,
            now: NOW,
        };
        let audit = room.audit(AuditKind::Promote);
        let store = &room.bench.store;
        store
            .promote(&room.workspace, &promote, &audit)
            .await
            .map(drop)
    }

    async fn start(&self, room: &mut Room<'_>) -> Result<(), StoreError> {
        let revision = self.binding.as_ref().unwrap().revision;
        let mut job = JobRecord::new(revision, false, room.token.clone().into(), NOW);
        job.phase = JobPhase::Heads;
        let audit = room.audit(AuditKind::Rewrap);
        let store = &room.bench.store;
        let mac = &room.bench.job_mac;
        store
            .start_job(&room.workspace, &job, mac, None, &audit)
            .await?;
        room.job = Some(job.id);
        Ok(())
    }

    async fn run(&mut self, room: &Room<'_>, me: u8, run: crate::job::Run, after: &Table) -> Said {
        let store = &room.bench.store;
        match run.stage {
            Stage::Claim | Stage::Save | Stage::End => {
                Some(said(self.save(room, run.stage, after).await))
            }
            Stage::Read(from) => {
                if run.page.iter().flatten().next().is_none() {
                    self.page.clear();
                }
                let part = match run.job.phase {
                    Phase::Heads | Phase::VerifyHeads => WrapPart::Heads,
                    Phase::Earlier | Phase::VerifyEarlier => WrapPart::Earlier,
                };
                let mut cursor = (from > 0).then(|| place(room, from));
                loop {
                    let read = store.wraps(&room.workspace, part, cursor.as_deref(), 1);
                    let (found, next) = read.await.unwrap();
                    let any = !found.is_empty();
                    self.page.extend(found);
                    cursor = next;
                    // What is revoked, or a tombstone, is passed over.
                    if any || cursor.is_none() {
                        return None;
                    }
                }
            }
            Stage::Footing => {
                let found = store.binding_for_job(&room.workspace).await.unwrap();
                self.binding = found.map(|(binding, ..)| binding);
                None
            }
            Stage::Move => {
                let item = run.page.iter().flatten().next().unwrap();
                let read = self
                    .page
                    .iter()
                    .find(|read| read.version == number(item.number));
                let read = read.expect("the store showed what the model saw");
                let (value, policy, _) = parts(&read.wrapped);
                let mut to = wrapped(made(me, value, policy));
                to.key = self.current();
                let binding = self.job.as_ref().unwrap().binding_revision;
                let moves = [(read, &to)];
                let moved = store.move_wraps(&room.workspace, binding, &moves);
                Some(match moved.await {
                    Ok(moved) if moved == [Moved::Yes] => Ok(()),
                    Ok(_) => Err(Refusal::Changed),
                    Err(error) => said(Err(error)),
                })
            }
            Stage::LookAgain => {
                let own = self.job.as_ref().unwrap().id;
                let job = store.read_job(&room.workspace, &own).await.unwrap();
                self.job = job.map(|(job, _)| job);
                None
            }
        }
    }

    /// Saves what the model saves: what it says is in its table, if it landed.
    async fn save(
        &mut self,
        room: &Room<'_>,
        stage: Stage,
        after: &Table,
    ) -> Result<(), StoreError> {
        let own = self.job.as_ref().unwrap();
        let mut next = JobRecord {
            revision: own.revision.next(),
            handoff: false,
            ..own.clone()
        };
        if stage != Stage::Claim
            && let Some(job) = after.job
        {
            next.state = match job.state {
                JobState::Running => store::JobState::Running,
                JobState::Done => store::JobState::Done,
                JobState::Superseded => store::JobState::Superseded,
            };
            next.phase = match job.phase {
                Phase::Heads => JobPhase::Heads,
                Phase::Earlier => JobPhase::Earlier,
                Phase::VerifyHeads => JobPhase::VerifyHeads,
                Phase::VerifyEarlier => JobPhase::VerifyEarlier,
            };
            next.cursor = (job.cursor > 0).then(|| place(room, job.cursor));
            next.ended_at = next.state.is_ended().then_some(NOW);
        }
        let save = SaveJob {
            read: own.revision,
            job: &next,
            token: None,
            idempotency: None,
        };
        let (store, mac) = (&room.bench.store, &room.bench.job_mac);
        store.save_job(&room.workspace, &save, mac, None).await?;
        self.job = Some(next);
        Ok(())
    }
}

/// Where a job's record says that it is: the place of an earlier version.
fn place(room: &Room<'_>, number: u8) -> String {
    format!("{}#{number:07}", room.name)
}

/// A wrap that an actor has made, its key left to be named.
fn made(me: u8, value: u8, policy: u8) -> Wrap {
    Wrap {
        key: crate::table::Key::A,
        value,
        policy,
        by: me,
    }
}

/// Whose data key a wrap is, which policy it is bound to, and who made it.
fn parts(wrapped: &envelope::WrappedDataKey) -> (u8, u8, u8) {
    let text = std::str::from_utf8(&wrapped.ciphertext).unwrap();
    let parts: Vec<u8> = text.split(' ').map(|part| part.parse().unwrap()).collect();
    (parts[0], parts[1], parts[2])
}

fn value_of(stored: &StoredVersion) -> u8 {
    parts(&stored.wrapped).0
}

/// The store's answer in the model's words.
fn said(result: Result<(), StoreError>) -> Result<(), Refusal> {
    match result {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict(which)) => Err(match which {
            Which::Token => Refusal::Token,
            Which::Frozen => Refusal::Frozen,
            Which::Idempotency => Refusal::Idempotency,
            Which::Binding => Refusal::Binding,
            Which::Head => Refusal::Head,
            Which::Version => Refusal::Version,
            Which::Exists => Refusal::Exists,
            Which::Job => Refusal::Job,
            Which::Audit => panic!("an audit record was there already"),
        }),
        Err(error) => panic!("{error}"),
    }
}
