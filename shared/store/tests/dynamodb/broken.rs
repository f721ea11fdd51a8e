//! Records that were changed behind the store's back.

use crate::harness::*;
use serde_json::{Value, json};
use store::*;

/// A workspace with one record of each kind, whose sort keys are returned, each
/// with the attributes that may be NULL.
async fn one_of_each() -> (Bench, Vec<(String, &'static [&'static str])>) {
    let bench = Bench::bound().await;
    bench.bind('b').await.unwrap();
    bench.freeze(false).await;
    let (pay, new) = (name("pay"), stored(version(1), "one"));
    let id = idempotency(&bench);
    let record = IdempotencyRecord {
        expires_at: NOW,
        ..bench.remembered()
    };
    let binding_revision = Revision::new(2).unwrap();
    let put = PutSecret {
        idempotency: Some(&record),
        binding_revision,
        ..bench.first_put(&pay, &new)
    };
    bench
        .store
        .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
        .await
        .unwrap();
    bench.put(&pay, "two").await.unwrap();
    let places = vec![
        ("KEY".to_owned(), &[][..]),
        ("FREEZE".to_owned(), &[]),
        ("STATE".to_owned(), &["grade"]),
        (format!("T#{}", bench.token), &[]),
        ("S#pay".to_owned(), &["material", "expires_at"]),
        ("V#pay#0000001".to_owned(), &["material", "expires_at"]),
        (format!("I#{}", id.as_str()), &["etag"]),
    ];
    (bench, places)
}

fn idempotency(bench: &Bench) -> IdempotencyId {
    IdempotencyId::of(&bench.token, "key")
}

async fn read_all(bench: &Bench) -> Result<Records, StoreError> {
    let (pay, id) = (name("pay"), idempotency(bench));
    let wanted = Wanted {
        secret: Some(&pay),
        version: Some(version(1)),
        idempotency: Some(&id),
        state: true,
        ..bench.wanted()
    };
    bench.read(wanted).await
}

#[track_caller]
fn is_broken<T: std::fmt::Debug>(result: Result<T, StoreError>, what: &str) {
    assert!(
        matches!(result, Err(StoreError::Broken(_))),
        "{what}: {result:?}"
    );
}

fn one_of_each_type() -> [AttributeValue; 7] {
    [
        AttributeValue::S("x".to_owned()),
        AttributeValue::N("1".to_owned()),
        AttributeValue::B(Blob::new(b"x".to_vec())),
        AttributeValue::Bool(true),
        AttributeValue::Null(true),
        AttributeValue::L(vec![AttributeValue::N("1".to_owned())]),
        AttributeValue::M(Item::new()),
    ]
}

fn same_type(a: &AttributeValue, b: &AttributeValue) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

#[tokio::test]
async fn a_record_without_one_of_its_attributes_or_with_one_of_another_type_is_broken() {
    let (bench, places) = one_of_each().await;
    let whole = read_all(&bench).await.unwrap();
    assert!(whole.binding.is_some() && whole.freeze.is_some() && whole.state.is_some());
    assert!(
        whole.token.is_some()
            && whole.head.is_some()
            && whole.version.is_some()
            && whole.idempotency.is_some()
    );

    for (sk, nullable) in places {
        let item = bench.item(&sk).await.unwrap();
        for (attribute, value) in item
            .iter()
            // Whether the MAC is there is for whoever checks it.
            .filter(|(attribute, _)| !matches!(attribute.as_str(), "pk" | "sk" | "mac"))
        {
            let mut without = item.clone();
            without.remove(attribute);
            bench.plant(&sk, without).await;
            is_broken(read_all(&bench).await, &format!("{sk} without {attribute}"));

            for other in one_of_each_type() {
                let may_be_null = other.is_null() && nullable.contains(&attribute.as_str());
                if same_type(&other, value) || may_be_null || value.is_null() {
                    continue;
                }
                let mut retyped = item.clone();
                retyped.insert(attribute.clone(), other.clone());
                bench.plant(&sk, retyped).await;
                is_broken(
                    read_all(&bench).await,
                    &format!("{sk} with {attribute} = {other:?}"),
                );
            }
        }
        bench.plant(&sk, item).await;
    }
    assert_eq!(read_all(&bench).await.unwrap(), whole);
}

#[tokio::test]
async fn an_attribute_that_is_not_of_its_grammar_makes_its_record_broken() {
    let (bench, places) = one_of_each().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |text: &str| AttributeValue::N(text.to_owned());
    let idempotency = places[6].0.as_str();
    let alias = "arn:aws:kms:eu-west-1:111122223333:alias/mine";
    let cases = [
        ("STATE", "state", text("fine")),
        ("STATE", "grade", text("lax")),
        ("S#pay", "kind", text("undead")),
        ("S#pay", "kind", text("deleted")),
        ("S#pay", "version", number("0")),
        ("S#pay", "version", number("10000000")),
        ("S#pay", "version", number("3")),
        ("S#pay", "first", number("3")),
        ("S#pay", "last", number("1")),
        ("S#pay", "name", text("mail")),
        ("S#pay", "name", text("$probe")),
        ("S#pay", "workspace", text("other")),
        ("S#pay", "wrapped_by", text(alias)),
        ("S#pay", "wrapped", AttributeValue::B(Blob::new(Vec::new()))),
        ("S#pay", "form", text("TEXT")),
        ("V#pay#0000001", "kind", text("live")),
        ("V#pay#0000001", "kind", text("revoked")),
        ("V#pay#0000001", "version", number("2")),
        ("V#pay#0000001", "name", text("mail")),
        ("V#pay#0000001", "workspace", text("other")),
        (
            idempotency,
            "fingerprint",
            AttributeValue::B(Blob::new(vec![1; 31])),
        ),
        (idempotency, "ttl", number("9223372036854775807")),
        (idempotency, "status", number("65536")),
    ];
    for (sk, attribute, value) in cases {
        let item = bench.item(sk).await.unwrap();
        let mut changed = item.clone();
        changed.insert(attribute.to_owned(), value.clone());
        bench.plant(sk, changed).await;
        // A tombstone needs no sealed bytes, so a head that is called one lacks only its time.
        is_broken(
            read_all(&bench).await,
            &format!("{sk} with {attribute} = {value:?}"),
        );
        bench.plant(sk, item).await;
    }
    read_all(&bench).await.unwrap();
}

/// The record at a sort key, its text changed by `edit`, with what stands beside it as
/// it was; and the record itself, to be put back.
async fn with_body(bench: &Bench, sk: &str, edit: impl FnOnce(&mut Value)) -> Item {
    let item = bench.item(sk).await.unwrap();
    let mut body = serde_json::from_str(item["body"].as_s().unwrap()).unwrap();
    edit(&mut body);
    let mut changed = item.clone();
    changed.insert("body".to_owned(), AttributeValue::S(body.to_string()));
    bench.plant(sk, changed).await;
    item
}

/// Reads everything that gives authority.
async fn read_authority(bench: &Bench, job: &JobId) -> Result<(), StoreError> {
    read_all(bench).await?;
    bench.store.list_tokens(&bench.workspace, None, 10).await?;
    bench.store.read_job(&bench.workspace, job).await?;
    bench.store.list_jobs(&bench.workspace, 10).await?;
    Ok(())
}

async fn with_a_job() -> (Bench, JobRecord) {
    let (bench, _) = one_of_each().await;
    let revision = Revision::new(2).unwrap();
    let mut job = JobRecord::new(revision, false, Actor::Operator, NOW);
    job.fail(JobFailure {
        name: name("pay"),
        version: version(1),
        reason: "key_disabled".to_owned(),
    });
    let (mac, audit) = (&bench.macs.job, entry(AuditKind::Rewrap));
    let started = bench
        .store
        .start_job(&bench.workspace, &job, mac, None, &audit);
    started.await.unwrap();
    (bench, job)
}

#[tokio::test]
async fn a_text_without_one_of_its_fields_or_with_one_of_another_type_or_one_more_is_broken() {
    let (bench, job) = with_a_job().await;
    let may_be_null = [
        "current",
        "created_by",
        "label",
        "cursor",
        "started_moving_at",
        "ended_at",
        "reason",
    ];
    let token = format!("T#{}", bench.token);
    for sk in ["KEY", &token, &format!("J#{}", job.id)] {
        let body = bench.item(sk).await.unwrap()["body"].clone();
        let body: Value = serde_json::from_str(body.as_s().unwrap()).unwrap();
        for (field, value) in body.as_object().unwrap() {
            let whole = with_body(&bench, sk, |body| {
                body.as_object_mut().unwrap().remove(field);
            })
            .await;
            is_broken(
                read_authority(&bench, &job.id).await,
                &format!("{sk} without {field}"),
            );
            bench.plant(sk, whole).await;
            for other in [
                json!("x"),
                json!(1.5),
                json!(true),
                json!(null),
                json!([1]),
                json!({}),
            ] {
                let allowed = other.is_null() && may_be_null.contains(&field.as_str());
                let any_text = value.is_null() && other.is_string();
                if allowed || any_text || (value.is_boolean() && other.is_boolean()) {
                    continue;
                }
                let what = format!("{sk} with {field} = {other}");
                let whole = with_body(&bench, sk, |body| body[field] = other).await;
                is_broken(read_authority(&bench, &job.id).await, &what);
                bench.plant(sk, whole).await;
            }
        }
        let whole = with_body(&bench, sk, |body| body["later"] = json!(1)).await;
        let what = format!("{sk} with one field more");
        is_broken(read_authority(&bench, &job.id).await, &what);
        bench.plant(sk, whole).await;
    }
    read_authority(&bench, &job.id).await.unwrap();
}

#[tokio::test]
async fn a_field_that_is_not_of_its_grammar_or_contradicts_its_place_makes_its_record_broken() {
    let (bench, job) = with_a_job().await;
    let (token, at) = (format!("T#{}", bench.token), format!("J#{}", job.id));
    let alias = "arn:aws:kms:eu-west-1:111122223333:alias/mine";
    let cases = [
        ("KEY", "current", json!(alias)),
        ("KEY", "former", json!([alias])),
        ("KEY", "revision", json!(-1)),
        ("KEY", "revision", json!(1)),
        ("KEY", "revision", json!(18_446_744_073_709_551_615_u64)),
        ("KEY", "changed_at", json!("yesterday")),
        ("KEY", "workspace", json!("other")),
        (&token, "permissions", json!(["read", "root"])),
        (&token, "secrets", json!(["*", "pay"])),
        (&token, "secrets", json!([""])),
        (&token, "secrets", json!("*")),
        (&token, "expires_at", json!("")),
        (&token, "expires_at", json!("Never")),
        (&token, "expires_at", json!("2026-11-05T12:00:00Z")),
        (&token, "id", json!(TokenId::of_token(b"other").as_str())),
        (&token, "workspace", json!("other")),
        (&at, "id", json!(JobId::new(NOW).to_string())),
        (&at, "workspace", json!("other")),
        (&at, "state", json!("resting")),
        (&at, "state", json!("paused")),
        (&at, "phase", json!("moving")),
        (&at, "handoff", json!(false)),
        (&at, "revision", json!(1)),
        (&at, "total", json!(-1)),
        (&at, "created_by", json!("someone")),
        (
            &at,
            "failures",
            json!([{"name": "$probe", "version": 1, "reason": ""}]),
        ),
        (
            &at,
            "failures",
            json!([{"name": "pay", "version": 0, "reason": ""}]),
        ),
        (
            &at,
            "failures",
            json!([{"name": "pay", "version": 1, "reason": "", "later": 1}]),
        ),
    ];
    for (sk, field, value) in cases {
        let what = format!("{sk} with {field} = {value}");
        let whole = with_body(&bench, sk, |body| body[field] = value).await;
        is_broken(read_authority(&bench, &job.id).await, &what);
        bench.plant(sk, whole).await;
    }
    read_authority(&bench, &job.id).await.unwrap();
}

#[tokio::test]
async fn a_job_that_its_own_attributes_contradict_is_broken() {
    let (bench, job) = with_a_job().await;
    let sk = format!("J#{}", job.id);
    let item = bench.item(&sk).await.unwrap();
    for attribute in ["kind", "state", "handoff", "revision"] {
        for with in [
            None,
            Some(AttributeValue::S("paused".to_owned())),
            Some(AttributeValue::Bool(false)),
            Some(AttributeValue::N("7".to_owned())),
        ] {
            let what = format!("{attribute} = {with:?}");
            let mut changed = item.clone();
            changed.remove(attribute);
            changed.extend(with.map(|value| (attribute.to_owned(), value)));
            bench.plant(&sk, changed).await;
            is_broken(bench.store.read_job(&bench.workspace, &job.id).await, &what);
            is_broken(bench.store.list_jobs(&bench.workspace, 10).await, &what);
        }
    }
}

#[tokio::test]
async fn what_names_no_job_is_left_out_of_the_list_of_those_that_live() {
    let (bench, _) = with_a_job().await;
    let lives = bench.store.live_jobs(None, 10).await.unwrap().items;
    assert_eq!(lives.len(), 1);
    let place = |sk: &str, job: AttributeValue| {
        Item::from([
            ("pk".to_owned(), AttributeValue::S("JOBS".to_owned())),
            ("sk".to_owned(), AttributeValue::S(sk.to_owned())),
            ("job".to_owned(), job),
        ])
    };
    let id = AttributeValue::S(JobId::new(NOW).to_string());
    for (sk, job) in [
        ("aaaa", AttributeValue::S("x".to_owned())),
        ("zzzz", AttributeValue::Null(true)),
        ("A", id),
    ] {
        bench.plant_in("broker", place(sk, job)).await;
        // The index is advice: a broken entry keeps nobody else's job waiting.
        let now = bench.store.live_jobs(None, 10).await.unwrap().items;
        assert_eq!(now, lives, "{sk}");
    }
}

#[tokio::test]
async fn a_broken_revoked_version_is_no_absence() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.put(&pay, "two").await.unwrap();
    let sealed = bench.item("V#pay#0000001").await.unwrap();
    bench.revoke(&bench.revocation_of(&pay, 1)).await.unwrap();
    let item = bench.item("V#pay#0000001").await.unwrap();
    let head = bench.live(&pay).await;
    let wanted = Wanted {
        secret: Some(&pay),
        version: Some(version(1)),
        ..bench.wanted()
    };
    let cases: Vec<(String, Item)> = [
        "kind",
        "workspace",
        "name",
        "version",
        "put_at",
        "wrapped_by",
        "revoked_at",
    ]
    .into_iter()
    .map(|attribute| {
        let mut without = item.clone();
        without.remove(attribute);
        (format!("without {attribute}"), without)
    })
    .collect();
    for (what, item) in cases {
        bench.plant("V#pay#0000001", item).await;
        is_broken(bench.read(wanted).await, &what);
        let listed = bench
            .store
            .list_versions(&bench.workspace, &head, None, 10)
            .await;
        is_broken(listed, &what);
    }
    for lost in ["sealed", "wrapped"] {
        let mut with = item.clone();
        with.insert(lost.to_owned(), sealed[lost].clone());
        bench.plant("V#pay#0000001", with).await;
        is_broken(bench.read(wanted).await, &format!("with {lost}"));
    }
}

#[tokio::test]
async fn a_broken_wrap_is_neither_visited_nor_counted() {
    let (bench, _) = one_of_each().await;
    for (sk, part) in [
        ("S#pay", WrapPart::Heads),
        ("V#pay#0000001", WrapPart::Earlier),
    ] {
        let item = bench.item(sk).await.unwrap();
        for attribute in [
            "kind",
            "workspace",
            "name",
            "version",
            "wrapped",
            "wrapped_by",
            "policy",
        ] {
            let mut without = item.clone();
            without.remove(attribute);
            bench.plant(sk, without).await;
            let what = format!("{sk} without {attribute}");
            let visited = bench.store.wraps(&bench.workspace, part, None, 10).await;
            is_broken(visited, &what);
            if matches!(attribute, "kind" | "wrapped_by") {
                is_broken(bench.store.count_wraps(&bench.workspace, 10).await, &what);
            }
        }
        for (attribute, value) in [
            ("workspace", AttributeValue::S("other".to_owned())),
            ("name", AttributeValue::S("mail".to_owned())),
            ("wrapped", AttributeValue::B(Blob::new(Vec::new()))),
        ] {
            let mut changed = item.clone();
            changed.insert(attribute.to_owned(), value);
            bench.plant(sk, changed).await;
            let visited = bench.store.wraps(&bench.workspace, part, None, 10).await;
            is_broken(visited, &format!("{sk} with another {attribute}"));
        }
        bench.plant(sk, item).await;
    }
    let mut head = bench.item("S#pay").await.unwrap();
    head.remove("revision");
    bench.plant("S#pay", head).await;
    let visited = bench
        .store
        .wraps(&bench.workspace, WrapPart::Heads, None, 10)
        .await;
    is_broken(visited, "a head without a revision");
}

#[tokio::test]
async fn an_attribute_that_is_not_known_is_ignored() {
    let (bench, places) = one_of_each().await;
    let whole = read_all(&bench).await.unwrap();
    for (sk, _) in places {
        let mut item = bench.item(&sk).await.unwrap();
        for (n, value) in one_of_each_type().into_iter().enumerate() {
            item.insert(format!("later{n}"), value);
        }
        bench.plant(&sk, item).await;
    }
    assert_eq!(read_all(&bench).await.unwrap(), whole);
}

#[tokio::test]
async fn a_record_of_another_kind_or_place_is_broken_where_it_does_not_belong() {
    let (bench, places) = one_of_each().await;
    for (to, _) in &places {
        let own = bench.item(to).await.unwrap();
        for (from, _) in places.iter().filter(|(from, _)| from != to) {
            // A head has all that a version has; the version's number tells them apart.
            bench.plant(to, bench.item(from).await.unwrap()).await;
            is_broken(read_all(&bench).await, &format!("{from} at {to}"));
        }
        bench.plant(to, own).await;
    }
    let head = bench.item("S#pay").await.unwrap();
    bench.plant("S#mail", head).await;
    let mail = name("mail");
    is_broken(
        bench
            .read(Wanted {
                secret: Some(&mail),
                ..bench.wanted()
            })
            .await,
        "S#pay at S#mail",
    );
    is_broken(
        bench
            .store
            .list_secrets(&bench.workspace, None, None, 10)
            .await,
        "a list with it",
    );
}

#[tokio::test]
async fn a_broken_tombstone_is_no_absence() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.delete(&pay).await.unwrap();
    let item = bench.item("S#pay").await.unwrap();
    for attribute in [
        "kind",
        "workspace",
        "name",
        "last",
        "revision",
        "deleted_at",
    ] {
        let mut without = item.clone();
        without.remove(attribute);
        bench.plant("S#pay", without).await;
        is_broken(
            bench
                .read(Wanted {
                    secret: Some(&pay),
                    ..bench.wanted()
                })
                .await,
            attribute,
        );
    }
}

#[tokio::test]
async fn a_broken_token_breaks_the_list_of_tokens() {
    let bench = Bench::open().await;
    let sk = format!("T#{}", bench.token);
    let mut item = bench.item(&sk).await.unwrap();
    item.remove("body");
    bench.plant(&sk, item).await;
    is_broken(
        bench.store.list_tokens(&bench.workspace, None, 10).await,
        "list",
    );
}

#[tokio::test]
async fn a_broken_audit_record_is_called_so() {
    let bench = Bench::empty().await;
    let begun = entry(AuditKind::Use);
    bench
        .store
        .begin_use(&bench.workspace, &begun)
        .await
        .unwrap();
    bench
        .store
        .finish_use(&bench.workspace, &begun.id, &outcome("ok"))
        .await
        .unwrap();
    let item = bench.items("audit").await.remove(0);
    let nullable = ["secret", "version", "destination", "method", "outcome"];
    for (attribute, value) in item
        .iter()
        .filter(|(attribute, _)| !matches!(attribute.as_str(), "pk" | "sk"))
    {
        let mut changed = item.clone();
        changed.remove(attribute);
        bench.plant_in("audit", changed).await;
        let read = bench.store.read_receipt(&bench.workspace, &begun.id).await;
        if attribute == "outcome" {
            assert_eq!(read.unwrap().unwrap().outcome, None);
        } else {
            is_broken(read, &format!("without {attribute}"));
        }
        for other in one_of_each_type() {
            let may_be_null = other.is_null() && nullable.contains(&attribute.as_str());
            if same_type(&other, value) || may_be_null {
                continue;
            }
            let mut changed = item.clone();
            changed.insert(attribute.clone(), other.clone());
            bench.plant_in("audit", changed).await;
            let what = format!("{attribute} = {other:?}");
            is_broken(
                bench.store.read_receipt(&bench.workspace, &begun.id).await,
                &what,
            );
            is_broken(
                bench
                    .store
                    .list_audit(&bench.workspace, NOW.date(), None, 10)
                    .await,
                &what,
            );
        }
    }
}
