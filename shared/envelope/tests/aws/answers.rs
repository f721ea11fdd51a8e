//! Where KMS says yes.

use crate::house::{Ask, BROKER_ROLE, House, TIME, context, named, place, role_of};
use envelope::aws::AwsAccess;
use envelope::kms::{KeyState, Kms};
use envelope::{Refusal, SecretBytes, WrappedDataKey, open, seal};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test]
async fn a_data_key_comes_back_as_it_was_and_opens_what_it_sealed() {
    let house = House::open().await;
    let (first, second) = (house.wrapped().await, house.wrapped().await);
    assert!(!first.key.is_same_as(&second.key), "each data key is fresh");
    assert_ne!(first.wrapped.ciphertext, second.wrapped.ciphertext);
    assert_eq!(first.wrapped.key, house.key);

    let opened = Ask::new(&first.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    assert!(opened.key.is_same_as(&first.key));
    let place = place("acme", "db-password", 1);
    let sealed = seal(first.key, &place, &SecretBytes::new(b"hunter2".to_vec()));
    let value = open(&sealed, opened.key, &place).unwrap();
    assert_eq!(value.expose_secret(), b"hunter2");
    let other = Ask::new(&second.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    assert!(open(&sealed, other.key, &place).is_err());
}

#[tokio::test]
async fn each_wrap_and_each_unwrap_is_exactly_one_event_with_the_id_that_the_caller_got() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let unwrap = house.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let opened = Ask::new(&made.wrapped).unwrap(&unwrap).await.unwrap();
        assert!(opened.call.earlier.is_empty());
        ids.push(json!(opened.call.request_id));
    }
    let events = house.events("Decrypt");
    assert!(
        events.iter().map(|event| &event["requestID"]).eq(&ids),
        "one event for each, in order"
    );
    assert_eq!(house.events("GenerateDataKey").len(), 1);
    assert_eq!(
        house.events("GenerateDataKey")[0]["requestID"],
        json!(made.call.request_id)
    );
    assert_eq!(house.broker_events().len(), 4, "and no other call");
}

#[tokio::test]
async fn the_customers_log_shows_who_asked_and_for_what() {
    let house = House::open().await;
    let made = house.wrapped().await;
    Ask::new(&made.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    let pairs: BTreeMap<_, _> = context().pairs().iter().cloned().collect();
    for event in house.broker_events() {
        assert_eq!(
            event["requestParameters"]["encryptionContext"],
            json!(pairs)
        );
        assert_eq!(
            event["requestParameters"]["keyId"],
            json!(house.key.as_str())
        );
        assert_eq!(role_of(&event), BROKER_ROLE);
    }
}

#[tokio::test]
async fn wrap_and_unwrap_say_which_key_material_was_used() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let opened = Ask::new(&made.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    let material = made.wrapped.material.clone().unwrap();
    assert_eq!(
        (made.call.material, opened.call.material),
        (Some(material.clone()), Some(material))
    );
}

#[tokio::test]
async fn the_receipt_rides_in_the_user_agent_of_that_call_alone() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let unwrap = house.unwrap();
    let receipt = "01936f2e-7c1a-7000-8000-0123456789ab";
    let mut ask = Ask::new(&made.wrapped);
    ask.receipt = Some(receipt);
    ask.unwrap(&unwrap).await.unwrap();
    ask.would_unwrap(&unwrap).await.unwrap();
    ask.receipt = None;
    ask.unwrap(&unwrap).await.unwrap();

    let agents: Vec<_> = house
        .events("Decrypt")
        .iter()
        .map(|event| event["userAgent"].to_string())
        .collect();
    let product = format!(" byok-receipt/{receipt}\"");
    assert!(
        agents[0].contains("aws-sdk-rust") && agents[0].ends_with(&product),
        "{}",
        agents[0]
    );
    assert!(agents[1].ends_with(&product), "{}", agents[1]);
    assert!(!agents[2].contains("byok-receipt"), "{}", agents[2]);
}

#[tokio::test]
async fn would_unwrap_asks_about_the_very_blob_and_has_no_plaintext_made() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let id = Ask::new(&made.wrapped)
        .would_unwrap(&house.unwrap())
        .await
        .unwrap();
    let events = house.events("Decrypt");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["requestID"], json!(id));
    assert_eq!(events[0]["requestParameters"]["dryRun"], json!(true));
    assert_eq!(events[0]["errorCode"], "DryRunOperationException");
}

#[tokio::test]
async fn would_unwrap_refuses_what_unwrap_would_refuse() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let unwrap = house.unwrap();
    let mut blob = made.wrapped.clone();
    *blob.ciphertext.last_mut().unwrap() ^= 1;
    let failure = Ask::new(&blob).would_unwrap(&unwrap).await.unwrap_err();
    assert_eq!(failure.refusal, Refusal::Integrity);
    house.revoke();
    let failure = Ask::new(&made.wrapped)
        .would_unwrap(&unwrap)
        .await
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::AccessDenied);
}

#[tokio::test]
async fn a_grant_token_makes_a_grant_usable_that_has_not_spread() {
    let house = House::open().await;
    house.kms.set_grant_delay(Duration::from_secs(300));
    let key = house.create_key(json!({}));
    let (_, token) = house.grant(&key, &["GenerateDataKey", "Decrypt", "DescribeKey"]);
    let (wrap, unwrap, inspect) = (house.wrap(), house.unwrap(), house.broker().inspect());
    let tokens = [token];

    let without = wrap
        .generate(&key, &context(), &[], TIME)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(without.refusal, Refusal::AccessDenied);
    let made = wrap
        .generate(&key, &context(), &tokens, TIME)
        .await
        .unwrap();

    let mut ask = Ask::new(&made.wrapped);
    assert_eq!(
        ask.unwrap(&unwrap).await.map(|_| ()).unwrap_err().refusal,
        Refusal::AccessDenied
    );
    ask.grant_tokens = tokens.to_vec();
    assert!(ask.unwrap(&unwrap).await.is_ok());
    assert!(ask.would_unwrap(&unwrap).await.is_ok());

    assert_eq!(
        inspect
            .describe(&named(&key), &[], TIME)
            .await
            .unwrap_err()
            .refusal,
        Refusal::AccessDenied
    );
    assert!(inspect.describe(&named(&key), &tokens, TIME).await.is_ok());

    // It also carries the question that KMSInvalidStateException leads to.
    house.customer("ScheduleKeyDeletion", json!({"KeyId": key.as_str()}));
    assert_eq!(
        ask.unwrap(&unwrap).await.map(|_| ()).unwrap_err().refusal,
        Refusal::PendingDeletion
    );
}

#[tokio::test]
async fn each_key_is_called_in_the_region_of_its_arn() {
    let house = House::open().await;
    let far = house.create_key_in("ap-southeast-2");
    house.grant(&far, &["GenerateDataKey", "Decrypt"]);
    let broker = house.broker();
    for key in [&house.key, &far, &house.key] {
        let made = broker
            .wrap()
            .generate(key, &context(), &[], TIME)
            .await
            .unwrap();
        Ask::new(&made.wrapped)
            .unwrap(&broker.unwrap())
            .await
            .unwrap();
        let events = house.broker_events();
        for event in &events[events.len() - 2..] {
            assert_eq!(event["awsRegion"], json!(key.region()));
        }
    }
}

#[tokio::test]
async fn a_former_kek_still_unwraps_while_the_binding_lists_it() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let current = house.create_key(json!({}));
    let mut ask = Ask::new(&made.wrapped);
    ask.allowed = vec![current, house.key.clone()];
    assert!(ask.unwrap(&house.unwrap()).await.is_ok());
}

#[tokio::test]
async fn describe_tells_a_keys_kind_and_follows_its_state() {
    let house = House::open().await;
    let inspect = house.broker().inspect();
    let described = inspect
        .describe(&named(&house.key), &[], TIME)
        .await
        .unwrap();
    assert_eq!(described.arn, house.key);
    assert_eq!(
        [
            &described.spec,
            &described.usage,
            &described.manager,
            &described.origin
        ],
        [
            "SYMMETRIC_DEFAULT",
            "ENCRYPT_DECRYPT",
            "CUSTOMER",
            "AWS_KMS"
        ]
    );
    assert!(!described.multi_region);
    assert_eq!(
        house.events("DescribeKey")[0]["requestID"],
        json!(described.request_id)
    );

    let key_id = json!({"KeyId": house.key.as_str()});
    for (operation, state) in [
        ("DisableKey", KeyState::Disabled),
        ("EnableKey", KeyState::Enabled),
        ("ScheduleKeyDeletion", KeyState::PendingDeletion),
    ] {
        house.customer(operation, key_id.clone());
        let described = inspect
            .describe(&named(&house.key), &[], TIME)
            .await
            .unwrap();
        assert_eq!(described.state, state, "{operation}");
    }
    let external = house.create_key_open_to_the_broker(json!({"Origin": "EXTERNAL"}));
    let described = inspect
        .describe(&named(&external), &[], TIME)
        .await
        .unwrap();
    assert_eq!(
        (described.state, described.origin.as_str()),
        (KeyState::PendingImport, "EXTERNAL")
    );
}

#[tokio::test]
async fn one_process_can_play_several_roles_over_the_same_connections() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let arn = "arn:aws:iam::444455556666:role/reader";
    let reader = local_kms::Principal {
        arn: arn.to_owned(),
        access_key_id: "AKIAIOSFODNN7READER00".to_owned(),
        secret_access_key: "secret".to_owned(),
        identity_policy: None,
    };
    house.kms.add_principal(&reader).unwrap();
    let access = AwsAccess::new("AKIAIOSFODNN7BROKER00", "secret", None);
    let other = access.as_role(&reader.access_key_id, "secret");
    let endpoint = Some(house.endpoint.clone());
    let broker = Kms::new(access, endpoint.clone());
    let ask = Ask::new(&made.wrapped);
    assert!(ask.unwrap(&broker.unwrap()).await.is_ok());
    let failure = ask
        .unwrap(&Kms::new(other, endpoint).unwrap())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::AccessDenied);
    assert_eq!(role_of(&house.events("Decrypt")[1]), arn);
}

#[tokio::test]
async fn calls_at_once_do_not_mix_their_answers() {
    let house = House::open().await;
    let mut made = Vec::new();
    for _ in 0..8 {
        made.push(house.wrapped().await);
    }
    let unwrap = house.unwrap();
    let tasks: Vec<_> = made
        .into_iter()
        .map(|made| {
            let unwrap = unwrap.clone();
            tokio::spawn(async move {
                let wrapped: WrappedDataKey = made.wrapped;
                let opened = Ask::new(&wrapped).unwrap(&unwrap).await.unwrap();
                assert!(opened.key.is_same_as(&made.key));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(house.events("Decrypt").len(), 8);
}
