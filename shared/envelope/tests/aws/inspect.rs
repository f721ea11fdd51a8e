//! What a look at a key tells.

use crate::forged::{KEY, Liar, OTHER};
use crate::house::{House, TIME, named};
use envelope::{KeyName, Refusal};
use serde_json::json;

#[tokio::test]
async fn a_look_at_a_key_tells_what_wraps_now_and_when_the_key_ends() {
    let house = House::open().await;
    let (key, inspect) = (named(&house.key), house.broker().inspect());
    let made = house.wrapped().await;
    let described = inspect.describe(&key, &[], TIME).await.unwrap();
    assert!(described.current_material.is_some());
    assert_eq!(described.current_material, made.wrapped.material);
    assert_eq!((described.valid_to, described.deletion_date), (None, None));

    house.customer("RotateKeyOnDemand", json!({"KeyId": house.key.as_str()}));
    let rotated = inspect.describe(&key, &[], TIME).await.unwrap();
    assert_ne!(rotated.current_material, described.current_material);

    let ended = house.customer("ScheduleKeyDeletion", json!({"KeyId": house.key.as_str()}));
    let described = inspect.describe(&key, &[], TIME).await.unwrap();
    let seconds = ended["DeletionDate"].as_f64().unwrap().floor() as i64;
    assert_eq!(described.deletion_date, Some(seconds));
}

#[tokio::test]
async fn an_expiry_of_imported_material_is_told() {
    let metadata = json!({"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "Arn": KEY, "KeyState": "Enabled",
        "Origin": "EXTERNAL", "ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": 1_800_000_000.25,
        "CurrentKeyMaterialId": "0a", "MultiRegion": true});
    let liar = Liar::saying(200, json!({"KeyMetadata": metadata})).await;
    let key = KeyName::parse(KEY).unwrap();
    let described = liar.kms.inspect().describe(&key, &[], TIME).await.unwrap();
    assert_eq!(described.valid_to, Some(1_800_000_000));
    assert_eq!(
        described.expiration_model.as_deref(),
        Some("KEY_MATERIAL_EXPIRES")
    );
    assert_eq!(described.current_material.as_deref(), Some("0a"));
    assert!(described.multi_region);
}

#[tokio::test]
async fn an_alias_leads_to_the_key_that_it_names_now() {
    let house = House::open().await;
    let other = house.create_key_open_to_the_broker(json!({}));
    let alias = KeyName::parse("arn:aws:kms:eu-west-1:111122223333:alias/byok/ours").unwrap();
    let inspect = house.broker().inspect();
    for key in [&house.key, &other] {
        let input = json!({"AliasName": "alias/byok/ours", "TargetKeyId": key.id()});
        house.customer("CreateAlias", input);
        let described = inspect.describe(&alias, &[], TIME).await.unwrap();
        assert_eq!(described.arn, *key);
        house.customer("DeleteAlias", json!({"AliasName": "alias/byok/ours"}));
    }
    let failure = inspect.describe(&alias, &[], TIME).await.unwrap_err();
    assert_eq!(failure.refusal, Refusal::NotFound);
}

#[tokio::test]
async fn an_alias_that_leads_out_of_its_account_or_region_is_not_believed() {
    let alias = KEY.replace("key/1234abcd-12ab-34cd-56ef-1234567890ab", "alias/ours");
    let alias = KeyName::parse(&alias).unwrap();
    for (arn, believed) in [
        (KEY.to_owned(), true),
        (OTHER.to_owned(), true),
        (KEY.replace("111122223333", "444455556666"), false),
        (KEY.replace("eu-west-1", "us-east-1"), false),
        (alias.as_str().to_owned(), false),
        (String::new(), false),
    ] {
        let liar = Liar::saying(
            200,
            json!({"KeyMetadata": {"KeyId": "x", "Arn": arn, "KeyState": "Enabled"}}),
        )
        .await;
        match liar.kms.inspect().describe(&alias, &[], TIME).await {
            Ok(described) => assert!(believed && described.arn.as_str() == arn, "{arn}"),
            Err(failure) => {
                assert!(!believed, "{arn}");
                assert_eq!(failure.refusal, Refusal::Integrity);
            }
        }
    }
}
