//! Records that were changed behind the store's back.

use crate::harness::*;
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
        id: id.clone(),
        fingerprint: [1; 32],
        version: version(1),
        wrapped_by: key('a'),
        material: Some("material".to_owned()),
        revision: Revision::new(1).unwrap(),
        expires_at: NOW,
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
        ("KEY".to_owned(), &["current"][..]),
        ("FREEZE".to_owned(), &[]),
        ("STATE".to_owned(), &[]),
        (format!("T#{}", bench.token), &["created_by", "label"]),
        ("S#pay".to_owned(), &["material", "expires_at"]),
        ("V#pay#0000001".to_owned(), &["material", "expires_at"]),
        (format!("I#{}", id.as_str()), &["material"]),
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
            .filter(|(attribute, _)| !matches!(attribute.as_str(), "pk" | "sk"))
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
    let token = places[3].0.as_str();
    let idempotency = places[6].0.as_str();
    let alias = "arn:aws:kms:eu-west-1:111122223333:alias/mine";
    let cases = [
        ("KEY", "current", text(alias)),
        ("KEY", "former", AttributeValue::L(vec![text(alias)])),
        ("KEY", "revision", number("-1")),
        ("KEY", "revision", number("1.5")),
        ("KEY", "revision", number("18446744073709551615")),
        ("KEY", "changed_at", text("yesterday")),
        ("KEY", "workspace", text("other")),
        ("STATE", "state", text("fine")),
        (
            token,
            "permissions",
            AttributeValue::L(vec![text("read"), text("root")]),
        ),
        (
            token,
            "secrets",
            AttributeValue::L(vec![text("*"), text("pay")]),
        ),
        (token, "secrets", AttributeValue::L(vec![text("")])),
        (token, "secrets", text("*")),
        (token, "expires_at", text("")),
        (token, "expires_at", text("Never")),
        (token, "id", text(TokenId::of_token(b"other").as_str())),
        (token, "workspace", text("other")),
        ("S#pay", "kind", text("undead")),
        ("S#pay", "kind", text("deleted")),
        ("S#pay", "version", number("0")),
        ("S#pay", "version", number("10000000")),
        ("S#pay", "name", text("mail")),
        ("S#pay", "name", text("$probe")),
        ("S#pay", "workspace", text("other")),
        ("S#pay", "wrapped_by", text(alias)),
        ("S#pay", "wrapped", AttributeValue::B(Blob::new(Vec::new()))),
        ("S#pay", "form", text("TEXT")),
        ("V#pay#0000001", "version", number("2")),
        ("V#pay#0000001", "name", text("mail")),
        ("V#pay#0000001", "workspace", text("other")),
        (
            idempotency,
            "fingerprint",
            AttributeValue::B(Blob::new(vec![1; 31])),
        ),
        (idempotency, "ttl", number("9223372036854775807")),
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
        "version",
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
    item.remove("permissions");
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
